"""What does each command do?  One file a command."""
