"""`python -m mmfer`: the command mmfer."""

from mmfer.cli import main

main()
