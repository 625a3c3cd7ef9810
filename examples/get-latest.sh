#!/bin/sh
# A tracker for `track: {command: [./get-latest.sh]}`: says which reference the workload should run.
#
# The launcher runs it with LAUNCHER_WORKLOAD in the environment and one more argument: a path. It
# may write one reference to that path, or print one on standard output; this script does the former
# when it is given a path. A status other than 0 means "no answer": what runs stays.
#
# This one follows a text file on a web server of yours with a single line such as
# docker.io/library/nginx:1.27.2. It needs nothing but Python, which is in the launcher's image.
set -eu

latest=$(python3 -c '
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=20).read(1024).decode("ascii").strip())
' "${LATEST_URL:?set it in the environment of the launcher}")

if [ $# -gt 0 ]; then
    printf '%s\n' "$latest" >"$1"
else
    printf '%s\n' "$latest"
fi
