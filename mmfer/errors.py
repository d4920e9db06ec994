"""The one exception that users see, and the wrapper that turns it into one line and exit code 2."""

import importlib.util
import os
import signal
import sys
from typing import Annotated, Any

import typer

INTERRUPTED = 130  # what Typer makes of KeyboardInterrupt
OWN = {"mmfer", "stages", "tests", "tools"}  # packages of this tree: that one cannot be imported is a bug
PIPELINE = "pipeline"  # the extra of all packages but those of EXTRAS
EXTRAS = {
    **dict.fromkeys(["streamlit", "starlette"], "demo"),
    **dict.fromkeys(["onnx", "onnx_ir", "onnxscript"], "onnx"),
    **dict.fromkeys(["distributed", "ray"], "scale"),
    **dict.fromkeys(["fastapi", "fastapi_offline", "python_multipart", "uvicorn"], "serve"),
    **dict.fromkeys(["pi_heif", "pillow_jxl"], "formats"),
}
# What torch, Python's threads and the loader of libraries say without it, who know no MemoryError.
NO_MEMORY = ("allocate memory", "can't start new thread", "failed to map segment")
NO_CACHE = "no locator available"  # what numba says, as mmfer is imported, without a package or home to write to


class MmferError(Exception):
    """A fault that the user can mend; the message is one line: where, what, and what to do."""


def run_app(app: typer.Typer) -> None:
    """Run a Typer app; user faults, a full disk or memory and Ctrl-C become one line on stderr and exit code 2.

    `--debug` anywhere on the command line shows the traceback instead.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if hasattr(sys.stdout, "reconfigure"):  # a file name may have what the output's encoding has not
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what `dvc` and `kill` send; clean up as for Ctrl-C
    message = "interrupted; earlier outputs are as they were, and the same command goes on from there"
    try:
        status = click_command(app)(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        pass
    except (MmferError, OSError, MemoryError) as error:
        if debug:
            raise
        message = _describe(error)
    except (RuntimeError, ImportError) as error:
        if debug or not (message := _of_a_library(error)):
            raise
    except Exception as error:
        # Click's usage errors print themselves: wrong option, missing argument. Anything else is a bug: show it whole.
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):
            raise
        error.show()
        sys.exit(2)
    else:
        if status != INTERRUPTED:
            sys.exit(status or 0)
    print(f"error: {message}", file=sys.stderr)
    sys.stderr.flush()
    # Worker threads may still be busy with a chunk; nothing they write is kept, so do not wait for them.
    os._exit(2)


def click_command(app: typer.Typer) -> Any:
    """The Click command that an app stands for, with --debug among the options of it and of its commands.

    Its help is plain text: Rich would take what stands in brackets, as in mmfer[demo], for markup and leave it out.
    """
    app.rich_markup_mode = None
    command = typer.main.get_command(app)
    _add_debug(command)
    return command


def _add_debug(command: Any) -> None:
    command.params.append(_debug_option())
    for inner in getattr(command, "commands", {}).values():
        _add_debug(inner)


def _debug_option() -> Any:
    """An option that is shown in the help and handed to no function; `run_app` has read it before."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def debug(
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, not one line.")] = False,
    ) -> None: ...

    (option,) = typer.main.get_command(app).params
    option.expose_value = False
    return option


def _describe(error: MmferError | OSError | MemoryError) -> str:
    if isinstance(error, MmferError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "the memory is not enough for this; take fewer --workers, smaller batches or fewer faces"
    where = error.filename or "disk"
    return f"{where}: {error.strerror or error}; free space or correct the permissions, then run the command again"


def _of_a_library(error: RuntimeError | ImportError) -> str:
    """What the error of a library means where the user can mend that; else, for it is a bug, nothing."""
    if any(words in str(error) for words in NO_MEMORY):
        return _describe(MemoryError())
    if NO_CACHE in str(error):
        return "no folder for compiled code can be written to; name one by the variable NUMBA_CACHE_DIR"
    package = (getattr(error, "name", None) or "").split(".")[0]
    missing = isinstance(error, ModuleNotFoundError) and package and package not in OWN
    return str(absent(package)) if missing else ""


def require(*packages: str) -> None:
    """Refuse to go on without packages that an optional extra of mmfer brings."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise absent(*missing)


def absent(*packages: str) -> MmferError:
    """What to do about packages that are not installed, all of one extra."""
    return MmferError(f"{', '.join(packages)} not installed; run `{install(packages[0])}`")


def install(package: str) -> str:
    """The command that installs what brings a package."""
    return f"pip install 'mmfer[{EXTRAS.get(package, PIPELINE)}]'"
