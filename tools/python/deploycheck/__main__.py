"""Usage: python -m deploycheck BUILT WORK [REGION]

Deploy BUILT, what `sam build` wrote, to an emulated AWS, in a region of AWS and in one of AWS China side by side, or in
REGION alone, which has its folder in WORK. There is what the SAM CLI said, afterwards.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from . import lacks
from .judge import Wrong
from .scenario import play

# Each region, and whether failures and the documentation are tried there too.
REGIONS = {"ap-southeast-1": True, "cn-north-1": False}


def main():
    built, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if len(sys.argv) == 4:
        region = sys.argv[3]
        try:
            result = play(region, built, work / region, REGIONS[region])
        except Wrong as e:
            sys.stdout.flush()
            sys.exit(f"\n{e}")
        (work / f"{region}.json").write_text(json.dumps(result))
        return
    started = time.monotonic()
    children = {}
    for region in REGIONS:
        (work / region).mkdir(parents=True)
        log = open(work / f"{region}.txt", "w+", encoding="utf-8")
        command = [sys.executable, "-B", "-W", "ignore", "-m", "deploycheck", built, work, region]
        children[region] = (subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT), log)
    for region, (child, log) in children.items():
        child.wait()
        log.seek(0)
        print(log.read())
    failed = [region for region, (child, _) in children.items() if child.returncode != 0]
    if failed:
        sys.exit(f"deploy-check failed in {', '.join(failed)}; what the SAM CLI said is in {work}")
    results = [json.loads((work / f"{region}.json").read_text()) for region in REGIONS]
    problems = []
    for name in results[0]["conditions"]:
        seen = set().union(*(r["conditions"][name] for r in results))
        if seen != {True, False}:
            problems.append(
                f"no deployment had the template's condition {name} {'false' if seen == {True} else 'true'}"
            )
    needed = set().union(*(r["needed"] for r in results))
    for entry in sorted(set(lacks.LACKS) - needed):
        problems.append(f"{entry!r} stands in deploycheck/lacks.py, and nothing needs it: take it out")
    print("What the emulator lacks, so that AWS alone can show it:")
    for entry, reason in lacks.LACKS.items():
        print(f"  {entry}: {reason}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"\ndeploy-check passed in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
