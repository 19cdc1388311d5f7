"""What a test needs of who runs it. A commit is checked as root, who is seldom refused."""

import os

import pytest


def needs_root(why: str) -> pytest.MarkDecorator:
    """Leave a test out for everybody but root, and say why."""
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"only root {why}")


def needs_plain_user(why: str) -> pytest.MarkDecorator:
    """Leave a test out for root, whom the kernel asks for nothing, and say why."""
    return pytest.mark.skipif(os.geteuid() == 0, reason=f"root {why}")
