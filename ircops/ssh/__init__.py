"""One host or many: who they are, whether they are who they say, open connections, commands, answers folded."""
