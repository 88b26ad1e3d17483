"""What holds for every test."""

import signal

from hypothesis import settings

settings.register_profile("house", deadline=None)  # time is measured in benchmarks only
settings.load_profile("house")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background switches it off
