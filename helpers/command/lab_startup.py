"""What a kernel of `./runbook lab` begins with (PYTHONSTARTUP): a form appears below a parameters cell that has run."""


def _begin() -> None:
    import os

    from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]

    shell = get_ipython()
    # JupyterLab names the notebook to its own kernels. A plain Python in one of its terminals has no shell, and the
    # kernels of papermill and nbval no name, nor have those of the chapters that a form starts this variable.
    if shell is None or "JPY_SESSION_NAME" not in os.environ:
        return
    os.environ.pop("PYTHONSTARTUP", None)
    from helpers.command import by_hand

    by_hand.watch(shell)


_begin()
del _begin
