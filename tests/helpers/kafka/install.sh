#!/bin/sh
# Sees to it that the tests find what Kafka needs: Java, and Maven for its jars. Debian's packages, by apt-get as root.
set -eu
missing=""
command -v java >/dev/null || missing="$missing default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
[ -z "$missing" ] && exit 0
# shellcheck disable=SC2086 -- a list of words
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && exit 0
fi
echo "The tests need Java and Maven: install$missing (Debian: apt-get install$missing), then run make again." >&2
exit 1
