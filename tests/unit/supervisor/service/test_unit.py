"""A unit says exactly what was wanted, whatever is in a path or a name."""

import dataclasses
from pathlib import Path

import pytest

from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.supervisor.service import unit
from orchestrator.supervisor.service.wanted import Reach, check_name, kept_environment
from tests.support.shipped import OF_A_USER, OLDEST, ORCHESTRATOR, SERVER


def _lines(text: str) -> list[str]:
    return text.splitlines()


def test_words_mean_themselves() -> None:
    """Blanks, quotes, backslashes, percent and dollar signs are no orders to systemd."""
    wanted = dataclasses.replace(
        ORCHESTRATOR,
        command=("/opt/my tools/o", "run", '--config=/etc/50%/$HOME/a"b\\c;d'),
        environment={"PATH": "/opt/my tools:/usr/bin", "XDG_STATE_HOME": "/s/100%/$x"},
    )

    lines = _lines(unit.render(wanted, OLDEST))

    assert r'ExecStart="/opt/my tools/o" run "--config=/etc/50%%/$$HOME/a\"b\\c;d"' in lines
    assert 'Environment="PATH=/opt/my tools:/usr/bin"' in lines
    assert "Environment=XDG_STATE_HOME=/s/100%%/$x" in lines


@pytest.mark.parametrize("bad", ["/opt/a\nExecStartPre=/bin/evil", "/opt/\x07", "/opt/\udc80"])
def test_nothing_can_begin_a_line_of_its_own(bad: str) -> None:
    """A path with a line break, a control character or broken UTF-8 is refused, not written."""
    with pytest.raises(ConfigInvalid, match="no service file can hold"):
        unit.render(dataclasses.replace(ORCHESTRATOR, command=(bad, "run")), OLDEST)


def test_newer_managers_get_what_they_know() -> None:
    """What a version of systemd does not know is not in its unit."""
    old, with_reload, with_steps = (
        _lines(unit.render(ORCHESTRATOR, version)) for version in (252, 253, 254)
    )

    assert "Type=notify" in old
    assert "ExecReload=/bin/kill -HUP $MAINPID" in old
    assert "Type=notify-reload" in with_reload
    assert not any(line.startswith("ExecReload") for line in with_reload)
    assert not any(line.startswith("RestartSteps") for line in with_reload)
    assert "RestartSteps=6" in with_steps
    assert "DelegateSubgroup=orchestrator" in with_steps


def test_jobs_outlive_the_supervisor_and_not_the_drain() -> None:
    """Nothing but the main process is ever killed, and a stop waits longer than a drain."""
    lines = _lines(unit.render(dataclasses.replace(ORCHESTRATOR, drain_timeout_s=3600), OLDEST))

    assert "KillMode=process" in lines
    assert "TimeoutStopSec=3660" in lines
    assert "RestartPreventExitStatus=5 77 78" in lines
    assert "StartLimitIntervalSec=0" in lines
    assert "OOMPolicy=continue" in lines


def test_a_server_has_no_jobs_to_spare() -> None:
    """The server's unit kills what is left, and reads no reload."""
    lines = _lines(unit.render(SERVER, 254))

    assert "KillMode=mixed" in lines
    assert "Type=notify" in lines
    assert "ProtectHome=yes" in lines
    at_home = dataclasses.replace(SERVER, lives_in_a_home=True)
    assert "ProtectHome=read-only" in _lines(unit.render(at_home, 254))


def test_a_users_unit_asks_for_nothing_that_only_root_can_give() -> None:
    """A user's own manager may not change capabilities, mounts or scores: the unit would fail."""
    text = unit.render(OF_A_USER, 254)

    assert "NoNewPrivileges=yes" in _lines(text)
    assert "WantedBy=default.target" in _lines(text)
    assert not any(word in text for word in ("User=", "Protect", "Capability", "OOMScoreAdjust"))


def test_jobs_of_root_keep_the_rights_of_root() -> None:
    """Who says --run-as root wants jobs that may do everything."""
    text = unit.render(dataclasses.replace(ORCHESTRATOR, account="root"), 254)

    assert "NoNewPrivileges" not in text
    assert "CapabilityBoundingSet" not in text


def test_credentials_are_named_and_not_written() -> None:
    """A secret stays in its file: the unit says which, and systemd hands it over."""
    wanted = dataclasses.replace(ORCHESTRATOR, credentials=(("web", Path("/etc/keys/my web")),))

    assert 'LoadCredential=web:"/etc/keys/my web"' in _lines(unit.render(wanted, OLDEST))


def test_of_the_environment_only_places_are_kept() -> None:
    """PATH without what is relative, and where files are: no secret ever gets into a unit."""
    shell = {
        "PATH": "/a:.:/b::/a:relative",
        "XDG_STATE_HOME": "/state",
        "ORCHESTRATOR_API_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    own = kept_environment(shell, Reach.USER, None)
    of_another = kept_environment(shell, Reach.SYSTEM, "jobs")

    assert own == {"PATH": "/a:/b", "XDG_STATE_HOME": "/state"}
    assert of_another == {"PATH": "/a:/b"}


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "a b", "-x", "x" * 61, "web@1", "ü"])
def test_a_name_is_a_word(bad: str) -> None:
    """A name that would leave the folder of units, or be an instance, is refused."""
    with pytest.raises(ConfigInvalid, match="cannot be the name"):
        check_name(bad)
    assert check_name("orchestrator-2.web_x") == "orchestrator-2.web_x"
