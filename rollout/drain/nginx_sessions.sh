# nginx_sessions.sh: how many connections nginx has from this machine to a server. Those of
# other programs, such as another balancer's health checks, do not count; one of which
# nobody can tell whose it is does.
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
	read -r name <"${line%/cmdline}/comm" || continue
	seen="$seen $name"
done
[ "$seen" ] || exit 3
addresses=$(getent ahosts "$NAME" | cut -d' ' -f1 | sort -u)
[ "$addresses" ] || exit 3
total=0
for address in $addresses; do
	case $address in *:*) address="[$address]" ;; esac
	lines=$(ss -Htnp state established state syn-sent dst "$address:$PORT") || exit 3
	while read -r line; do
		case $line in
		'') continue ;;
		*'users:(('*)
			ours=
			for name in $seen; do
				case $line in *"(\"$name\","*) ours=1 ;; esac
			done
			[ "$ours" ] || continue
			;;
		esac
		total=$((total + 1))
	done <<-END
	$lines
	END
done
printf 'sessions %s\n' "$total"
