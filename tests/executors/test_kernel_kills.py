"""The count of processes that the kernel has killed, in files as the kernel writes them."""

from nas.executors.kernel_kills import memory_kills


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_2_counts_in_the_own_group_or_where_a_container_mounts_it(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/user.slice/job\n")
    assert memory_kills(tmp_path, own) == 0
    write(tmp_path / "memory.events", "low 0\nmax 7\noom 3\noom_kill 2\n")
    assert memory_kills(tmp_path, own) == 2
    write(tmp_path / "user.slice/job/memory.events", "low 0\noom 9\noom_kill 5\noom_group_kill 0\n")
    assert memory_kills(tmp_path, own) == 5


def test_version_1_counts_in_the_group_of_the_memory_controller(tmp_path):
    own = tmp_path / "own"
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/job\n0::/\n")
    write(tmp_path / "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert memory_kills(tmp_path, own) == 1
    write(tmp_path / "memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert memory_kills(tmp_path, own) == 4


def test_the_count_is_0_where_there_are_no_control_groups(tmp_path):
    assert memory_kills(tmp_path, tmp_path / "missing") == 0
