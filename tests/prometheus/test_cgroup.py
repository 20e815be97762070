"""Memory limits of containers, read from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_monitor.prometheus.cgroup import CgroupMemory, cgroup_memory

MIB = 1 << 20
NO_LIMIT_V1 = "9223372036854771712\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def v2(folder: str, limit: str, used: int, cache: int) -> dict[str, str]:
    base = f"sys/fs/cgroup/{folder}".rstrip("/")
    return {
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.current": f"{used}\n",
        f"{base}/memory.stat": f"anon {used - cache}\ninactive_file {cache}\n",
    }


def test_a_container_of_version_2_has_its_limit(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/\n", **v2("", str(512 * MIB), 300 * MIB, 100 * MIB)})
    assert cgroup_memory(tmp_path) == CgroupMemory(limit=512 * MIB, used=200 * MIB)


def test_the_limit_of_a_parent_holds_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/jobs/42/step\n",
            **v2("jobs", str(900 * MIB), 400 * MIB, 0),
            **v2("jobs/42", str(600 * MIB), 300 * MIB, 0),
            **v2("jobs/42/step", "max", 200 * MIB, 0),
        },
    )
    assert cgroup_memory(tmp_path) == CgroupMemory(limit=600 * MIB, used=300 * MIB)


@pytest.mark.parametrize("path", ["/", "/docker/abc"], ids=["own", "as the host sees it"])
def test_a_container_of_version_1_has_its_limit(tmp_path: Path, path: str) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": f"5:cpu,cpuacct:/\n4:memory:{path}\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{256 * MIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{100 * MIB}\n",
            "sys/fs/cgroup/memory/memory.stat": f"cache 5\ntotal_inactive_file {40 * MIB}\n",
        },
    )
    assert cgroup_memory(tmp_path) == CgroupMemory(limit=256 * MIB, used=60 * MIB)


def test_no_limit_is_none(tmp_path: Path) -> None:
    assert cgroup_memory(tmp_path) is None
    write(tmp_path, {"proc/self/cgroup": "0::/user.slice\n", **v2("user.slice", "max", MIB, 0)})
    assert cgroup_memory(tmp_path) is None


@pytest.mark.parametrize("text", ["", "nonsense\n", "1:name=systemd:/\n", "0::/a:b\n"])
def test_senseless_files_are_no_limit(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"proc/self/cgroup": text})
    assert cgroup_memory(tmp_path) is None
