"""Runs a model that starts others, says which processes there are, and waits to be killed."""

import asyncio
import re
import sys
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from tests.launcher.groups import ask, group, machine


async def main() -> None:
    async with machine(Path(sys.argv[1])) as here:
        spec = group(here.models.add("forking", escaped=2))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        pid = await ask(replica, run="os.getpid()")
        found = await here.until(
            lambda: re.search(r"children ([\d ]+)\n", here.log(spec, pb.LOG_KIND_SERVICE))
        )
        sys.stdout.write(f"{pid} {found[1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main())
