"""The sound of a video, put into its annotated copy by ffmpeg where that is installed: OpenCV writes none."""

import shutil
import subprocess
from pathlib import Path

from mmfer.files import new_file


def add_sound(copy: Path, original: Path, seconds: float) -> str | None:
    """Give a copy of a video, so many seconds long, the sound of the original, if it has any; else a line says why."""
    program = shutil.which("ffmpeg")
    if program is None:
        return "copies of videos have no sound: ffmpeg is not installed"
    try:
        with new_file(copy) as target:
            _run_ffmpeg(program, copy, original, seconds, target)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        return f"{original}: its copy has no sound, for ffmpeg failed: {said[-1]}"
    return None


def _run_ffmpeg(program: str, copy: Path, original: Path, seconds: float, target: Path) -> None:
    # A name is a file's, whatever it begins with. The pictures stay as they are; not every kind of sound fits into mp4.
    inputs = ["-i", f"file:{copy}", "-i", f"file:{original}"]
    chosen = ["-map", "0:v", "-map", "1:a?", "-c:v", "copy", "-c:a", "aac", "-t", f"{seconds:.3f}"]
    command = [program, "-nostdin", "-v", "error", "-y", *inputs, *chosen, f"file:{target}"]
    subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
    )
