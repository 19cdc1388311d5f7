"""Tell the service manager again and again that this program's own loop turns.

Nothing is asked and nobody is judged: if the loop that runs this stands still, the manager hears
nothing more and starts the program again. A busy worker or a slow disk must never look like that.
"""

from collections.abc import Callable

import anyio

from orchestrator.kernel.notify import Notifier


async def beat(notifier: Notifier, status: Callable[[], str] = str) -> None:
    """Say that we live as often as the manager needs to hear it; `status` is said along with it."""
    while (pause_s := notifier.ping_s) is not None:
        notifier.alive(status())
        await anyio.sleep(pause_s)
    await anyio.sleep_forever()
