"""millpond.run(): the pool from within a program. BIND and HOW are in the environment."""

from __future__ import annotations

import os
import sys

from process_app import application

import millpond

if __name__ == "__main__":
    how = os.environ.get("HOW", "object")
    target = application if how == "object" else "process_app:application"
    millpond.run(target, bind=os.environ["BIND"], workers=2, threads=3)
    print("after run", file=sys.stderr)
