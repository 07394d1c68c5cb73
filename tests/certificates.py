"""Certificates for TLS tests: an authority of our own, and servers it vouches for."""

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOCALHOST = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
SHA256 = hashes.SHA256()
PRIVATE = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


class Authority:
    """`ca` is the file for `tls_ca_file`; everything is written to `directory`."""

    def __init__(self, directory):
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ircops test CA")])
        self.ca = directory / "ca.pem"
        certificate = self._certificate(self._name, self._key, x509.BasicConstraints(True, None))
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name="server", names=LOCALHOST):
        """Make a server's certificate and key; gives the two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "irc.test")])
        certificate = self._certificate(subject, key, x509.SubjectAlternativeName(names))
        certfile, keyfile = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        keyfile.write_bytes(key.private_bytes(*PRIVATE))
        return certfile, keyfile

    def fingerprint(self, name="server", algorithm=SHA256):
        """Of a certificate that `server` or `client` made, in hex."""
        return fingerprint(self._directory / f"{name}.pem", algorithm)

    def client(self, name="client"):
        """Make a certificate and key for somebody who calls; gives the two files."""
        return self.server(name, names=[x509.DNSName(f"{name}.test")])

    def context(self, **options):
        """What a server needs to speak TLS with a certificate of ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(**options))
        return context

    def _certificate(self, subject, key, extension):
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=30),
        )
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())


def fingerprint(certfile, algorithm=SHA256):
    """Of the certificate in a PEM file, in hex."""
    return x509.load_pem_x509_certificate(certfile.read_bytes()).fingerprint(algorithm).hex()
