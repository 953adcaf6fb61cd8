"""`python -m stream` and the `stream` console script."""

import sys


def main() -> None:
    """Run the command line; the exit codes are those of `stream.errors.ExitCode`."""
    # `import stream.__main__` stays free of effects.
    from stream.cli import run  # noqa: PLC0415
    from stream.runtime.stdout import outlive_readers  # noqa: PLC0415

    outlive_readers()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
