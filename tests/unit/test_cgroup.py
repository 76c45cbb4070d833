"""From /proc/PID/cgroup to systemd units, as systemd itself tells them."""

import pytest

from psstopd.kernel.cgroup import Units, parse_cgroup, units_of

V1 = b"""12:pids:/system.slice/nginx.service
11:cpu,cpuacct:/system.slice
4:memory:/elsewhere/db.service
1:name=systemd:/system.slice/nginx.service
"""
V2 = b"0::/system.slice/nginx.service\n"
HYBRID = b"9:name=systemd:/system.slice/nginx.service\n4:memory:/docker/8f3a\n0::/\n"
HYBRID_BOTH = b"1:name=systemd:/system.slice/nginx.service\n0::/system.slice/nginx.service\n"


@pytest.mark.parametrize("text", [V1, V2, HYBRID, HYBRID_BOTH])
def test_every_hierarchy_leads_to_the_same_path(text: bytes) -> None:
    """The path that systemd manages is found on v1, v2 and hybrid hosts, whatever other controllers say."""
    assert parse_cgroup(text) == "/system.slice/nginx.service"


@pytest.mark.parametrize("text", [b"", b"0::/\n", b"4:memory:/system.slice/nginx.service\n", b"garbage\n"])
def test_without_systemd_there_is_no_unit(text: bytes) -> None:
    """A host without systemd, or a text without its line, names no unit."""
    assert units_of(parse_cgroup(text)) == Units(None, ())


@pytest.mark.parametrize("end", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_a_cgroup_cannot_forge_another_line(end: str) -> None:
    """Users may name their cgroups; a line end other than the kernel's own begins no line."""
    text = f"0::/user.slice/user-1000.slice/user@1000.service/x{end}0::/system.slice/nginx.service\n".encode()

    assert units_of(parse_cgroup(text)).unit == "user@1000.service"


@pytest.mark.parametrize(
    ("path", "unit", "everything"),
    [
        ("/", None, ()),
        ("/init.scope", "init.scope", ("init.scope",)),
        ("/system.slice", None, ("system.slice",)),
        ("/system.slice/cron.service", "cron.service", ("system.slice", "cron.service")),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            "getty@tty1.service",
            ("system.slice", "system-getty.slice", "getty@tty1.service"),
        ),
        ("/user.slice/user-0.slice/session-1.scope", "session-1.scope", None),
        ("/system.slice/ssh.socket", "ssh.socket", None),
        ("/system.slice/dev-sda2.swap", "dev-sda2.swap", None),
        ("/docker/8f3a", None, ()),
        ("/lxc.payload.web/system.slice/nginx.service", None, ()),
    ],
)
def test_units_are_split_as_systemd_does(path: str, unit: str | None, everything: tuple[str, ...] | None) -> None:
    """Slices come first, then the unit; what else is at the front is nobody's unit."""
    units = units_of(path)

    assert units.unit == unit
    assert everything is None or units.all == everything


@pytest.mark.parametrize("inside", ["payload/system.slice/nginx.service", "system.slice/nginx.service", "init.scope"])
def test_cgroups_inside_a_unit_are_its_own(inside: str) -> None:
    """A container's systemd, or a service with delegated cgroups, has units that the host does not know."""
    path = f"/machine.slice/machine-web.scope/{inside}"

    assert units_of(path) == Units("machine-web.scope", ("machine.slice", "machine-web.scope"))


def test_units_of_a_user_manager_are_found_too() -> None:
    """What a user's systemd runs belongs to user@.service, and rules may name it by its own unit."""
    units = units_of("/user.slice/user-1000.slice/user@1000.service/app.slice/app-editor.scope/child.service")

    assert units.unit == "user@1000.service"
    assert units.all[-3:] == ("user@1000.service", "app.slice", "app-editor.scope")


def test_escaped_names_lose_their_underscore() -> None:
    """Systemd puts `_` before names that the kernel could take for a file of its own."""
    assert units_of("/system.slice/_cgroup.service").unit == "cgroup.service"


def test_seen_from_a_cgroup_namespace_a_unit_is_the_same() -> None:
    """In a container with the host's pids, paths outside of its own cgroup climb first."""
    assert units_of(parse_cgroup(b"0::/../../system.slice/nginx.service\n")).unit == "nginx.service"


def test_broken_utf8_is_kept_apart() -> None:
    """Two units that differ in undecodable bytes stay two."""
    paths = [parse_cgroup(b"0::/a\xff.service\n"), parse_cgroup(b"0::/a\xfe.service\n")]

    assert paths[0] != paths[1]
