"""`qchat` with stubs for the engines of its replicas: python -m tests.batch.ray.driver STUB ARGS"""

import functools
import sys

from qchat.batch.engines.ray import engine

from qchat import cli

from . import stubs

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    engine.RayEngine = functools.partial(  # type: ignore[misc,assignment]
        engine.RayEngine, make_engine=getattr(stubs, name)
    )
    sys.argv = ["qchat", *arguments]
    sys.exit(cli.run(arguments))
