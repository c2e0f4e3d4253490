# nginx_sessions.sh: how many connections there are from this machine to a server.
#
# Set before: NAME, a name or an address, and PORT. Prints "sessions N". Any other exit
# status than 0 means that nobody knows: ss is not there, or nginx is not to be seen, or
# has a network of its own as a container has, whose connections do not show here.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
own=$(readlink /proc/self/ns/net) || exit 3
seen=
for line in $(grep -lz '^nginx: worker [p]rocess' /proc/[0-9]*/cmdline 2>/dev/null); do
	[ -e "$line" ] || continue # it has ended
	[ "$(readlink "${line%/cmdline}/ns/net")" = "$own" ] || exit 3
	seen=1
done
[ "$seen" ] || exit 3
addresses=$(getent ahosts "$NAME" | cut -d' ' -f1 | sort -u)
[ "$addresses" ] || exit 3
total=0
for address in $addresses; do
	case $address in *:*) address="[$address]" ;; esac
	lines=$(ss -Htn state established state syn-sent dst "$address:$PORT") || exit 3
	[ -z "$lines" ] || total=$((total + $(printf '%s\n' "$lines" | wc -l)))
done
printf 'sessions %s\n' "$total"
