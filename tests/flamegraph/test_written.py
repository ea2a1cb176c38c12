"""Files are written atomically, through links, and to devices, which are not replaced."""

import os
import stat
import threading

import pytest

import flamegraph
from flamegraph.writers import written_atomically


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "in.folded"
    path.write_text("a;b 12\n")
    return flamegraph.read(path)


def test_a_full_device_is_an_error_and_stays_a_device(profile, tmp_path):
    path = tmp_path / "full.folded"
    path.symlink_to("/dev/full")
    with pytest.raises(flamegraph.ProfileError, match="No space left"):
        profile.write(path)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["full.folded", "in.folded"]
    assert not [name for name in os.listdir("/dev") if "full" in name and name != "full"]


def test_a_link_is_followed(profile, tmp_path):
    (tmp_path / "there").mkdir()
    path = tmp_path / "link.folded"
    path.symlink_to(tmp_path / "there" / "real.folded")
    profile.write(path)
    assert path.is_symlink()
    assert (tmp_path / "there" / "real.folded").read_text() == "a;b 12\n"


def test_a_named_pipe_is_written_to(profile, tmp_path):
    path = tmp_path / "pipe.folded"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    profile.write(path)
    reader.join(10)
    assert read == ["a;b 12\n"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_an_existing_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "old.html"
    path.write_text("old")

    def write():
        with written_atomically(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_refused(profile, tmp_path):
    (tmp_path / "x.folded").mkdir()
    with pytest.raises(flamegraph.ProfileError, match="Is a directory"):
        profile.write(tmp_path / "x.folded")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.folded", "x.folded"]
