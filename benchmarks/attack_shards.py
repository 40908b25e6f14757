"""One cascade on one and on two processes: seconds, and how much of the second one arrives.

Same net, same samples, one thread each, gloo on the loopback. `python benchmarks/attack_shards.py`
prints the table and keeps it in benchmarks/results/attack_shards.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from gradwarden.attack.evaluate import evaluate
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.provenance import environment
from gradwarden.core.records import from_json, to_json
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.tasks.digits_cnn import DigitsCNN

TASK = DigitsCNN(images=500, epochs=4)
RESULTS = Path(__file__).parent / "results" / "attack_shards.md"
BATCH = 25
TARGET = 0.7  # of the second process


def worker(folder: Path, rank: int, size: int, samples: int) -> None:
    """Writes the ledger and the seconds of the cascade alone."""
    torch.set_num_threads(1)
    where = f"file://{folder}/group{size}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=size)
    model = TASK.model(0)
    model.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
    x, y = TASK.held_out()
    dist.barrier()
    began = time.perf_counter()
    ledger = evaluate(model.eval(), x[:samples], y[:samples], TASK.threat, batch_size=BATCH)
    seconds = time.perf_counter() - began
    (folder / f"{size}-{rank}.json").write_text(to_json(ledger))
    (folder / f"{size}-{rank}.txt").write_text(str(seconds))
    dist.destroy_process_group()


def timed(folder: Path, size: int, samples: int) -> tuple[float, Ledger]:
    """Seconds of the slowest process, and the ledger of the first."""
    words = ("--samples", str(samples), "--worker")
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, *words, str(folder), str(rank), str(size)],
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(size)
    ]
    try:
        codes = [process.wait(timeout=1800) for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        raise SystemExit(f"a process ended with {codes}")
    seconds = max(float((folder / f"{size}-{rank}.txt").read_text()) for rank in range(size))
    return seconds, from_json((folder / f"{size}-0.json").read_text(), Ledger)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--samples", type=int, default=200)
    options.add_argument("--worker", nargs=3, metavar=("FOLDER", "RANK", "SIZE"))
    given = options.parse_args()
    if given.worker:
        folder, rank, size = given.worker
        worker(Path(folder), int(rank), int(size), given.samples)
        return
    with tempfile.TemporaryDirectory() as name:
        model = TASK.model(0)
        trainer = AdversarialTraining(threat=TASK.threat, epochs=TASK.epochs)
        trainer.fit(model, TASK.loader(0), TASK.optimizer(model))
        torch.save(model.state_dict(), Path(name) / "net.pt")
        one, alone = timed(Path(name), 1, given.samples)
        two, both = timed(Path(name), 2, given.samples)
    text = render(given.samples, one, two, alone.broken == both.broken)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


def render(samples: int, one: float, two: float, equal: bool) -> str:
    efficiency = one / two - 1.0
    where = ", ".join(f"{k} {v}" for k, v in environment(("torch",)).items())
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    met = efficiency >= TARGET and equal
    same = "yes" if equal else "NO"
    return f"""# A cascade on two processes

{samples} digits, an adversarially trained net, budget standard, batches of {BATCH}, one thread a
process. `python benchmarks/attack_shards.py`

| processes | seconds | times faster | of the second process | same ledger |
|---|---|---|---|---|
| 1 | {one:.1f} | 1.00 | | |
| 2 | {two:.1f} | {one / two:.2f} | {100 * efficiency:.0f} % | {same} |

Target: at least {100 * TARGET:.0f} % of the second process: {"met" if met else "NOT met"}.

{where}. Load of the machine at the end: {load}.
"""


if __name__ == "__main__":
    main()
