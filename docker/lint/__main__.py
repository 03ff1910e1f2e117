"""Check the files of `docker/` without a Docker engine: `python docker/lint`."""

from deployment.run import main

if __name__ == "__main__":
    raise SystemExit(main())
