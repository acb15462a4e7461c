#!/bin/sh
# Put the binaries of RabbitMQ and PostgreSQL on this machine for the tests, and the two
# programs by which they look at what was written: openssl and pdftotext.
#
# The tests start private servers of their own. The instances that Debian's packages
# come with are neither started nor stopped: the start of services is denied for as
# long as the installation takes. Quick and without effect when all are there.
set -eu

policy=/usr/sbin/policy-rc.d
kept=$policy.before-gateway

missing() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || printf 'rabbitmq-server '
    set -- /usr/lib/postgresql/*/bin/postgres
    [ -x "$1" ] || printf 'postgresql '
    command -v openssl >/dev/null || printf 'openssl '
    command -v pdftotext >/dev/null || printf 'poppler-utils '
}

deny_services() {
    # A kept file of a broken-off run is the real one: never overwrite it.
    if [ -e "$policy" ] && [ ! -e "$kept" ]; then
        mv "$policy" "$kept"
    fi
    # policy-rc.d, 101: action not allowed
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_services() {
    rm -f "$policy"
    if [ -e "$kept" ]; then
        mv "$kept" "$policy"
    fi
}

wanted=$(missing)
if [ -z "$wanted" ]; then
    echo "make servers: RabbitMQ, PostgreSQL and the programs of the tests are there."
    exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make servers: missing ${wanted% }; install with 'sudo make servers' on Debian, or with the package manager of this system." >&2
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        echo "make servers: Docker answers here; 'docker compose up' uses rabbitmq:4 and postgres:16, but the tests start local binaries." >&2
    fi
    exit 1
fi

trap allow_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
deny_services
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list of package names
apt-get install -y -qq --no-install-recommends $wanted >/dev/null
left=$(missing)
if [ -n "$left" ]; then
    echo "make servers: apt-get ended well, yet ${left% } is missing." >&2
    exit 1
fi
echo "make servers: installed ${wanted% }; their own services were not started."
