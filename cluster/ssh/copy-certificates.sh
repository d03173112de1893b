#!/usr/bin/env bash
# Give machines what their workers need to be let in: the authority's certificate, and the certificate and key of workers.
# The keys of scheduler and clients stay here.
#
#   cluster/ssh/copy-certificates.sh TLS-FOLDER HOST...
#
# They go to ~/.config/oceanrecon/tls of each machine, or to $OCEANRECON_REMOTE_TLS there: `ssh.certificates` of the cluster's
# config. Hosts, users, ports and keys are as in your ~/.ssh/config.

set -euo pipefail

if [[ $# -lt 2 ]]; then
    echo "name the folder and the machines: $0 TLS-FOLDER HOST..." >&2
    exit 2
fi
folder=$1
target=$(printf %q "${OCEANRECON_REMOTE_TLS:-.config/oceanrecon/tls}")
shift

for host in "$@"; do
    # umask: never readable by others, not even for a moment. As root, tar would give them to the user who has that number
    # there, and the mode that they have here.
    # shellcheck disable=SC2029  # the folder is quoted above for the shell on the other side
    tar --create --directory "$folder" ca.pem worker.pem worker-key.pem |
        ssh "$host" "umask 077 && mkdir -p $target && tar --extract --no-same-owner --no-same-permissions --directory $target"
    echo "$host has them"
done
