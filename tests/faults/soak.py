"""A long run of a server whose calls fail at random: `make soak MINUTES=30`, or, in an environment with
Millpond installed, `python tests/faults/soak.py --minutes 30`.

Rounds of some seconds in which some functions fail at some rates, each followed by a time in which
none fails and everything must work again. See README.md for what must hold.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# Everything takes longer beside a sanitizer, and on a machine that does other things.
os.environ.setdefault("MILLPOND_TEST_SLOW", "3")

from support import logs, processes  # noqa: E402
from support.faults import FUNCTIONS, Faults  # noqa: E402
from support.patience import stretched  # noqa: E402
from support.server import Server  # noqa: E402
from support.traffic import Traffic, content, get_of, post_of  # noqa: E402
from support.wire import ConnectionEnded, Wire  # noqa: E402

from faults_app import FILE_SIZE, FILES, make_files  # noqa: E402  # isort: skip

WORKERS = 2
RATES = (0.001, 0.003, 0.01, 0.03, 0.05)
RARE = ("fork", "thread")  # called when a worker or a thread is made
RARE_RATES = (0.1, 0.3, 0.5)
RECOVERY_SECONDS = 20.0
QUIET_SECONDS = 6.0
# The memory of a worker at the end, as a multiple of the most in the first three quiet times.
GROWTH = 1.5
SANITIZER = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:handle_segv=1:"
    "verify_asan_link_order=0:quarantine_size_mb=16",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
}
DEATH = re.compile(r"worker \d+ \(pid \d+\)[^\n]*?(killed by \w+|exited with status \d+)[^\n]*")


class Soak:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.rng = random.Random(arguments.seed)
        make_files(folder)
        self.faults = Faults(folder, seed=arguments.seed, sanitizers=arguments.sanitizers)
        env = {**self.faults.environment(), "FAULTS_APP_FOLDER": str(folder)}
        if arguments.sanitizers:
            env.update(SANITIZER)
        options = ["--timeout", "90", "--heartbeat-timeout", "90", "--worker-tmp-dir", str(folder)]
        self.server = Server(
            "faults_app", *options, workers=WORKERS, threads=8, env=env, files_may_stay_open=False
        )
        self.server.idle_seconds = RECOVERY_SECONDS
        files = [content(f"file-{i}", FILE_SIZE) for i in range(FILES)]
        clients, seed = arguments.clients, arguments.seed
        self.traffic = Traffic(self.server.address, files, clients=clients, seed=seed)
        self.findings: list[str] = []
        self.memory: list[dict[str, int]] = []
        self.rounds = 0
        self.kills = 0
        self.started = time.monotonic()
        self.log_bytes = 0

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def find(self, text: str) -> None:
        self.findings.append(text)
        self.say(f"FINDING: {text}")

    # -- a round ----------------------------------------------------------------------------

    def fault_for_a_while(self) -> None:
        self.faults.clear()
        chosen = {
            function: self.rng.choice(RARE_RATES if function in RARE else RATES)
            for function in self.rng.sample(FUNCTIONS, self.rng.randrange(1, 7))
        }
        for function, rate in chosen.items():
            self.faults.set(function, rate=rate)
        self.say("fail: " + ", ".join(f"{f} {r:g}" for f, r in chosen.items()))
        self.faults.on()
        deadline = time.monotonic() + self.rng.uniform(3, 12)
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if chosen.keys() & {"fork", "malloc", "mmap", "thread"} and self.rng.random() < 0.1:
                self.kill_a_worker()  # so that another is to be made while they fail
        self.faults.off()

    def kill_a_worker(self) -> None:
        pids = self.server.worker_pids()
        if pids:
            os.kill(self.rng.choice(pids), 9)
            self.kills += 1

    def recovers(self) -> bool:
        """Twenty requests in a row, and all workers are there."""
        began = time.monotonic()
        deadline = began + stretched(RECOVERY_SECONDS)
        row = 0
        last = ""
        while row < 20 or len(self.server.worker_pids()) != WORKERS:
            if time.monotonic() > deadline:
                self.find(f"no recovery in {stretched(RECOVERY_SECONDS):g} s: {row=}, {last}")
                return False
            last = self.probe(row)
            row = 0 if last else row + 1
            if last:
                time.sleep(0.1)
        self.say(f"recovered after {time.monotonic() - began:.1f} s")
        return True

    def probe(self, number: int) -> str:
        name = f"probe-{self.rounds}-{number}"
        demand = post_of(name, 2 << 20) if number % 5 == 4 else get_of(name, 3000, length=False)
        try:
            with Wire(self.server.address, 10) as wire:
                wire.send(demand.data)
                answer = wire.answer()
        except (OSError, ConnectionEnded) as error:
            return str(error)[:200]
        if answer.status != 200:
            return f"status {answer.status}"
        return "" if answer.body == demand.expected() else "another body"

    def quiet_time(self) -> bool:
        if not self.recovers():
            return False
        self.traffic.begin_strict()
        time.sleep(QUIET_SECONDS)
        self.traffic.end_strict()
        if not self.traffic.pause(stretched(60)):
            self.find("a client's request does not end")
            return False
        self.look_idle()
        self.traffic.go()
        return True

    def look_idle(self) -> None:
        """No descriptor is left open, no sanitizer has spoken; and how much memory there is."""
        self.server.allow(r".")
        try:
            self.server.examine_idle()
        except AssertionError as error:
            self.find(f"not idle: {str(error)[:2000]}")
        family = self.server.family()
        pids = set(self.server.worker_pids())
        self.memory.append(
            {
                "master": processes.resident_kib(self.server.pid),
                "zygote": processes.resident_kib(self.server.zygote_pid()),
                "worker": max((processes.resident_kib(p) for p in pids), default=0),
                "processes": len(family),
            }
        )

    def run(self) -> None:
        self.say(f"seed {self.arguments.seed}, pid {self.server.pid}, {self.server.folder}")
        self.traffic.go()
        time.sleep(QUIET_SECONDS)
        self.quiet_time()
        end = self.started + 60 * self.arguments.minutes
        while time.monotonic() < end and self.server.process.poll() is None:
            self.rounds += 1
            self.fault_for_a_while()
            if not self.quiet_time():
                break
            for text in self.traffic.findings[:20]:
                self.find(text)
            self.traffic.findings.clear()
        self.end()

    # -- the end ----------------------------------------------------------------------------

    def end(self) -> None:
        self.faults.off()
        if not self.traffic.stop(stretched(60)):
            self.find("a client does not end")
        self.findings += self.traffic.findings
        log = self.server.log
        code = self.server.process.poll()
        if code is not None:
            self.find(f"the server has ended with {code}")
        self.judge_log(log)
        self.judge_memory()
        try:
            self.server.stop()
        except AssertionError as error:
            self.find(f"no clean stop: {str(error)[:2000]}")
        self.summary(log)

    def judge_log(self, log: str) -> None:
        for record in logs.records(log):
            if logs.NEVER.search(record):
                self.find(record[:3000])
        deaths = Counter(match.group(1) for match in DEATH.finditer(log))
        for reason, count in deaths.items():
            if reason == "killed by SIGKILL":
                count -= self.kills
            if reason.startswith("killed") and count > 0:
                self.find(f"{count} workers {reason}, not by this program")

    def judge_memory(self) -> None:
        if len(self.memory) < 6:
            return
        for kind in ("master", "zygote", "worker"):
            first = max(sample[kind] for sample in self.memory[:3])
            last = min(sample[kind] for sample in self.memory[-3:])
            if last > GROWTH * first:
                self.find(f"the {kind}'s memory has grown from {first} to {last} KiB")

    def summary(self, log: str) -> None:
        minutes = (time.monotonic() - self.started) / 60
        deaths = Counter(match.group(1) for match in DEATH.finditer(log))
        levels = Counter(m.group(1) for r in log.splitlines() if (m := logs.HEAD.search(r[:60])))
        shown = [
            f"{minutes:.1f} minutes, seed {self.arguments.seed}, {self.rounds} rounds, sanitizers: "
            f"{self.arguments.sanitizers or 'none'}",
            f"requests: {self.traffic.requests}",
            f"answers: {dict(sorted(self.traffic.answers.items()))}",
            "failed calls: "
            + ", ".join(
                f"{f} {self.faults.injected(f)} of {self.faults.calls(f)}" for f in FUNCTIONS
            ),
            f"ends of workers: {dict(deaths)}; killed here: {self.kills}",
            f"log: {len(log.splitlines())} lines, {dict(levels)}",
            f"memory in KiB, first: {self.memory[:1]}, last: {self.memory[-1:]}",
            f"findings: {len(self.findings)}",
        ]
        print("\n".join(["", *shown, *(f"- {text}" for text in self.findings)]), flush=True)
        if self.arguments.keep_log:
            Path(self.arguments.keep_log).write_text(log)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--sanitizers", default="", help="libraries that the server needs first")
    parser.add_argument("--keep-log", default="", help="where to copy the server's log")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mp-soak-") as folder:
        soak = Soak(arguments, Path(folder))
        try:
            soak.run()
        finally:
            soak.server.kill()
    return 1 if soak.findings else 0


if __name__ == "__main__":
    sys.exit(main())
