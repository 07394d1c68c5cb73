"""What a command author imports: HOSTS, requires, run, ops."""
