"""Runs beside the services that answer, for as long as the application does."""

import itertools
import time

from line import line
from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        for beat in itertools.count(1):
            print(line(beat), flush=True)  # goes to Skep's log
            time.sleep(1)
