# environ.sh: what environments processes really have, compared without a value leaving
# the host.

# read_envs reads the environments asked for and picks the keys asked for. A line of ENVS
# is unit, digest, keys, tab separated. Of the readable ones unit1, pid1, digest1, found1
# and so on are set, $envs is their number.
read_envs() {
	envs=0 readable=
	for env in $ENVS; do
		unit=${env%%"$TAB"*} pid=
		for line in $procs; do
			[ "${line#* }" = "$unit" ] && pid=${line%% *}
		done
		if [ -z "$pid" ]; then
			rec env "$unit" 0 unreadable
			continue
		fi
		readable="$readable$NL$pid$TAB$env"
	done
	[ "$readable" ] || return 0
	set -- $readable
	if [ $# -lt 3 ] || ! read_together "$@"; then
		for env; do
			vars=$(tr '\n\0' '\001\n' <"/proc/${env%%"$TAB"*}/environ" 2>/dev/null)
			find_vars
		done
	fi
}

# read_together spares processes where there are many. What stands between two
# environments could be in one as well; then there is one too many, and each is read by
# itself.
read_together() {
	names=
	for env; do
		names="$names$NL/proc/${env%%"$TAB"*}/environ"
	done
	all=$(head -c 1048576 -v -- $names 2>/dev/null | tr '\n\0' '\001\n')
	n=0
	for line in $all; do
		case ${line#"$SOH"} in
		"==> /proc/"*"/environ <==$SOH"*)
			n=$((n + 1))
			line=${line#"$SOH"}
			name=${line#==> }
			eval "name$n=\${name%% <==*} all$n=\${line#*\"\$SOH\"}"
			;;
		*) eval "all$n=\$all$n\$NL\$line" ;;
		esac
	done
	[ "$n" = $# ] || return 1
	n=0
	for env; do
		n=$((n + 1))
		eval "name=\$name$n vars=\$all$n"
		[ "$name" = "/proc/${env%%"$TAB"*}/environ" ] || vars=
		find_vars
	done
}

# find_vars: what $env asks for, out of $vars, in the order of its keys.
find_vars() {
	IFS=$TAB
	set -- $env
	IFS=$NL
	case $vars in
	[A-Za-z_]*=*) ;;
	*)
		# It is gone, or has used the room of its environment for a title.
		rec env "$2" "$1" unreadable
		return
		;;
	esac
	envs=$((envs + 1)) found=
	eval "pid$envs=\$1 unit$envs=\$2 digest$envs=\$3"
	shift 3
	for key; do
		for line in $vars; do
			case $line in
			"$key="*)
				found="$found$NL$line"
				break
				;;
			esac
		done
	done
	eval "found$envs=\$found"
}

# look_envs tells how they compare. Only digests leave the host, keyed with SALT.
look_envs() {
	i=0
	while [ "$i" -lt "$envs" ]; do
		i=$((i + 1))
		eval "unit=\$unit$i pid=\$pid$i digest=\$digest$i found=\$found$i hash=\$hash$i"
		if [ "$hash" = "$digest" ]; then
			rec env "$unit" "$pid" same
			continue
		fi
		rec env "$unit" "$pid" differs
		for line in $found; do
			sum=$(printf '%s\n%s\n' "$SALT" "$line" | sha256sum)
			printf '%s %s\n' "${sum%% *}" "${line%%=*}" >&3
		done
	done
}

# look_sums: one sha256sum for the files and the first five environments, whose lines
# reach it through pipes: dash and busybox make one of a here-document. bash may make a
# file, which no secret may be in, so there each environment has a process of its own.
look_sums() {
	i=0 filesums=
	while :; do
		k=0 base=$i
		while [ "$k" -lt 5 ]; do
			k=$((k + 1)) i=$((i + 1))
			eval "text$k=\$SALT\$found$i"
		done
		if [ "$envs" = 0 ]; then
			[ -z "$files" ] || filesums=$(sha256sum -- $files 2>/dev/null)
			break
		elif [ "$BASH_VERSION" ]; then
			sums=$(hash_apart)
		else
			sums=$(
				sha256sum -- $files /dev/fd/4 /dev/fd/5 /dev/fd/6 /dev/fd/7 /dev/fd/8 2>/dev/null 4<<-E4 5<<-E5 6<<-E6 7<<-E7 8<<-E8
				$text1
				E4
				$text2
				E5
				$text3
				E6
				$text4
				E7
				$text5
				E8
			)
		fi
		files=
		for sum in $sums; do
			case $sum in
			*"  /dev/fd/"*)
				k=$((base + ${sum##*/} - 3))
				eval "hash$k=\${sum%% *}"
				;;
			*) filesums="$filesums$NL$sum" ;;
			esac
		done
		[ "$i" -lt "$envs" ] || break
	done
	rec sum
	printf '%s\n' "$filesums" >&3
}

hash_apart() {
	[ -z "$files" ] || sha256sum -- $files 2>/dev/null
	k=3
	for text in "$text1" "$text2" "$text3" "$text4" "$text5"; do
		k=$((k + 1))
		[ $((base + k - 3)) -le "$envs" ] || break
		sum=$(printf '%s\n' "$text" | sha256sum)
		printf '%s  /dev/fd/%s\n' "${sum%% *}" "$k"
	done
}
