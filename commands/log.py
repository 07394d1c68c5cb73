"""!log: what people put on the record; and what was said in a channel."""

import click
from ircops.commands.record import ago

from ircops import requires

LONGEST = 250  # characters of a line that is shown


class Text(click.Group):
    """A group whose words, where they name none of its commands, are the text of `text`."""

    takes_text = True  # a lone quote in it is an apostrophe

    def resolve_command(self, ctx, args):
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "text", self.commands["text"], args


@requires("viewer")
@click.group(cls=Text, subcommand_metavar="TEXT | search WORDS")
def log():
    """Put TEXT on the record, or search what was said."""


@log.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def text(ops, words):
    """Put TEXT on the record, with who said it, where and when."""
    click.echo(f"logged as entry {ops.job.number}")  # the entry of this very call holds the text


@log.command()
@click.option("--user", default="", help="only what this nick or account said")
@click.option("--channel", default="", help="only there; for private messages")
@click.option("--since", callback=ago, metavar="SPAN", help="only from the last 1h, 7d …")
@click.option("--last", type=click.IntRange(1, 50), default=5, help="how many")
@click.argument("words", nargs=-1)
@click.pass_obj
def search(ops, user, channel, since, last, words):
    """The newest lines said here with all the WORDS in them; in private, in any channel you are in."""
    places = readable(ops, channel)
    found = ops.transcript.search(
        words,
        places,
        user=user,
        since=since,
        last=last,
        but=f"{ops.settings.bot.prefix}log search",
    )
    for said in found:
        click.echo(line(said, is_here=bool(ops.call.where)))
    if not found:
        click.echo("nothing fits" if ops.settings.bot.transcript else "no transcript is kept")


def readable(ops, channel):
    """Where the caller may look: what they see anyway, and what is fit to be said where they ask."""
    if ops.call.sender.door != "irc":
        raise click.ClickException("this is for people in a channel; at a shell: ircops log export")
    places = ops.on_loop(ops.shared_with, ops.call.sender)
    where = ops.call.where
    if where:
        if channel and channel.casefold() != where.casefold():
            raise click.ClickException(f"others read here; ask me in private about {channel}")
        channel = where
    if channel:
        places = [place for place in places if place[1].casefold() == channel.casefold()]
    if not places:
        raise click.ClickException(
            f"you are not in {channel or 'a channel'} with me; join it and ask again"
        )
    return places


def line(said, is_here):
    """One line: `21:05 <alice> the disk is full`, with the channel where that is not clear."""
    at = said.at.astimezone()
    is_today = at.date() == at.now(at.tzinfo).date()
    at = f"{at:%H:%M}" if is_today else f"{at:%Y-%m-%d %H:%M}"
    words = str(said)
    words = words if len(words) <= LONGEST else words[:LONGEST] + "…"
    return f"{at} {words}" if is_here else f"{said.channel} {at} {words}"
