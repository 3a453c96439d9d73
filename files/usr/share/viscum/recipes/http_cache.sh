#!/bin/sh
# http_cache.sh NGINX ORIGIN: starts nginx with http_cache.conf, which can't be told an address in another way.
sed "s/ORIGIN/$2/" "${0%.sh}.conf" >/tmp/nginx.conf && exec "$1" -e stderr -c /tmp/nginx.conf
