"""A module whose import never ends: whoever preloads it is busy for ever."""

import threading

threading.Event().wait()
