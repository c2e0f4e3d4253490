# observe.sh: one reading of the host. It writes nothing.
#
# Set by the controller: KNOWN, PATHS, WANT, UNITS, TEMPLATES, USERS, GROUPS_, DISK, ENVS, SALT, LIGHT.
# Lists are one item a line; no item holds a control character.
#
# Order: the host's own records first, for they name further paths and units; then
# paths, units, processes; and at last the mutation counter again. If a mutation
# began or ended meanwhile, all of it is read once more, so a reading never joins
# two generations. A process that is replaced between the reading of its unit and
# of its environment shows as unreadable, never as another's.

op_observe() {
	be_root
	turn=0
	while :; do
		counter
		before=$seq
		look
		counter
		[ "$before" = "$seq" ] && break
		turn=$((turn + 1))
		[ "$turn" -lt 4 ] || die unknown "it was changed again and again while it was read" "another controller is at work there; try again later"
		rec again
	done
	finish
}

look() {
	own_records
	[ "$LIGHT" = 1 ] || look_paths
	look_units
	look_host
	if [ "$LIGHT" = 1 ]; then
		rec clock
		date +%s.%N >&3
		return
	fi
	look_links
	look_envs
	look_users
	look_disk
}

# own_records tells epoch, claim, step, journal, started and release records and the
# manifest as files, each under a "==> NAME <==" line (head -v), and the kept generations.
own_records() {
	set +f
	kept=
	for f in "$D"/generations/[1-9]*/manifest; do
		[ -e "$f" ] || continue
		f=${f%/manifest}
		kept="$kept ${f##*/}"
	done
	set --
	for f in "$D"/epoch "$D"/claim "$D"/step "$D"/switching "$D"/deadman "$D"/started/* "$D"/wanted/* "$D"/releases/* "$D"/current/manifest; do
		[ -f "$f" ] && set -- "$@" "$f"
	done
	set -f
	if [ -L "$D/current" ] && [ ! -f "$D/current/manifest" ]; then
		die failed "$D/current names a generation that is not there" \
			"restore $D from a backup, or move it away to have the host adopted anew"
	fi
	own=
	if [ $# -gt 0 ]; then
		own=$(head -c 16777216 -v -- "$@" 2>&1) || own_unreadable
	fi
	rec own
	printf '%s\n' "$own" >&3
	rec kept $kept
	own_names
}

own_unreadable() {
	counter
	if [ "$seq" != "$before" ]; then
		return
	fi
	die failed "its own records in $D cannot be read: $own" "look at the filesystem of $D"
}

# own_names adds what the manifest on disk names to what was asked, unless the
# controller knows this very manifest (its first line is unique) and has done so.
own_names() {
	paths=$PATHS units=$UNITS users=$USERS templates=$TEMPLATES sealed=
	file= walk=
	for line in $own; do
		case $line in
		"==> "*" <==")
			file=${line#==> }
			walk=
			;;
		"evenkeel$TAB"*)
			[ "$line" = "$KNOWN" ] || walk=1
			;;
		"stat$TAB"*)
			sealed="$sealed$NL${line#*"$TAB"}"
			;;
		*)
			[ "$walk" ] && own_entry
			;;
		esac
	done
	sealed="$sealed$NL"
}

own_entry() {
	IFS=$TAB
	set -- $line
	IFS=$NL
	case $1 in
	file | directory | link | release)
		case "$NL$PATHS$NL" in
		*"$NL$3$NL"*) ;;
		*) paths="$paths$NL$3" ;;
		esac
		;;
	unit)
		case "$NL$units$NL$templates$NL" in
		*"$NL$3$NL"*) ;;
		*)
			case $3 in
			*@.*) templates="$templates$NL$3" ;;
			*) units="$units$NL$3" ;;
			esac
			;;
		esac
		;;
	user)
		users="$users$NL$3"
		;;
	esac
}

# look_paths: one stat for all, one sha256sum for the regular files. A release
# whose stat is as it was when it was staged counts as unchanged and is not hashed.
look_paths() {
	rec stat
	stats= links=
	# The stat process' own folder is made when it is looked up: its time is the host's clock.
	stats=$(stat --printf="$STAT" -- /proc/self/status $paths 2>&1)
	printf '%s\n' "$stats" >&3
	files=
	for line in $stats; do
		case $line in
		8*)
			case $sealed in
			*"$NL$line$NL"*) continue ;;
			esac
			line=/${line#*/}
			[ "$line" = /proc/self/status ] || files="$files$NL$line"
			;;
		a*)
			links="$links$NL/${line#*/}"
			;;
		esac
	done
	sums=
	if [ "$files" ]; then
		sums=$(sha256sum -- $files 2>/dev/null)
	fi
	rec sum
	printf '%s\n' "$sums" >&3
	look_contents
}

# look_contents sends the files whose digest is not the one asked for. A line of
# WANT is: largest size, the line sha256sum should have printed, the path.
look_contents() {
	for want in $WANT; do
		line=${want#*"$TAB"}
		case "$NL$sums$NL" in
		*"$NL${line%%"$TAB"*}$NL"*) continue ;;
		esac
		look_content "${want%%"$TAB"*}" "${line#*"$TAB"}"
	done
}

look_content() {
	for line in $stats; do
		case $line in
		8*) [ "/${line#*/}" = "$2" ] || continue ;;
		*) continue ;;
		esac
		size=${line#* * }
		size=${size%% *}
		[ "$size" -le "$1" ] || return
		rec content
		printf '%s\n' "$2" >&3
		head -c "$1" -- "$2" 2>/dev/null | base64 -w0 >&3
		return
	done
}

# look_units: one systemctl for all, which answers in their order, each with one Id.
# (A service has its MainPID before its Id: should that ever change, the controller
# sees that the two disagree.) Timestamps in microseconds need systemd 248;
# an older one is asked again without.
look_units() {
	shown= procs=
	if [ "$units" ]; then
		rec units $units
		if ! shown=$(systemctl show --no-pager --timestamp=us+utc -p "$PROPS" -- $units 2>/dev/null); then
			shown=$(systemctl show --no-pager -p "$PROPS" -- $units 2>&1) || die failed "systemctl show: $shown" "is systemd running there, and is this a unit name?"
		fi
		printf '%s\n' "$shown" >&3
	fi
	if [ "$templates" ]; then
		rec templates
		systemctl list-unit-files --no-legend --no-pager --full -- $templates 2>/dev/null >&3
	fi
	[ "$LIGHT" = 1 ] && return
	pid=
	set -- $units
	for line in $shown; do
		case $line in
		MainPID=*)
			pid=${line#*=}
			;;
		Id=*)
			[ "${pid:-0}" = 0 ] || procs="$procs$NL$pid $1"
			pid=
			[ $# = 0 ] || shift
			;;
		esac
	done
}

look_host() {
	boot=
	read -r boot </proc/sys/kernel/random/boot_id
	# The library's name tells the version without a process.
	set +f
	set -- /usr/lib/systemd/libsystemd-shared-*.so /usr/lib/*/systemd/libsystemd-shared-*.so /lib/systemd/libsystemd-shared-*.so
	set -f
	version=
	for f; do
		[ -e "$f" ] || continue
		f=${f##*libsystemd-shared-}
		f=${f%.so}
		[ "$version" = "$f" ] && continue
		[ "$version" ] && version=several
		version=${version:-$f}
	done
	case $version in
	'' | several)
		version=$(systemctl --version 2>/dev/null)
		version=${version#systemd }
		version=${version%%[!0-9.]*}
		;;
	esac
	rec host "${boot:--}" "${version:--}"
}

# look_links: where symbolic links, and the processes' exe and cwd, point; one process.
look_links() {
	rec procs
	printf '%s\n' "$procs" >&3
	names=$links
	for line in $procs; do
		names="$names$NL/proc/${line%% *}/exe$NL/proc/${line%% *}/cwd"
	done
	[ "$names" ] || return
	# One that vanished would shift the rest: then each is asked by itself.
	rec links
	if ! readlink -z -- $names >&3; then
		rec linkwise
		for f in $names; do
			readlink -z -- "$f" >&3 || printf '\0' >&3
		done
	fi
}

# look_envs compares processes' environments with what was asked. A line of ENVS is
# unit, digest, keys, tab separated. Only digests leave the host, keyed with SALT.
look_envs() {
	for env in $ENVS; do
		IFS=$TAB
		set -- $env
		IFS=$NL
		unit=$1 digest=$2
		shift 2
		pid=
		for line in $procs; do
			[ "${line#* }" = "$unit" ] && pid=${line%% *}
		done
		if [ -z "$pid" ] || ! vars=$(tr '\n\0' '\001\n' <"/proc/$pid/environ" 2>/dev/null); then
			rec env "$unit" "${pid:-0}" unreadable
			continue
		fi
		look_env "$@"
	done
}

look_env() {
	case $vars in
	[A-Za-z_]*=*) ;;
	*)
		# A process may use the room of its environment for a title.
		rec env "$unit" "$pid" unreadable
		return
		;;
	esac
	found=
	for key; do
		for line in $vars; do
			case $line in
			"$key="*)
				found="$found$line$NL"
				break
				;;
			esac
		done
	done
	sum=$(printf '%s\n%s' "$SALT" "$found" | sha256sum)
	if [ "${sum%% *}" = "$digest" ]; then
		rec env "$unit" "$pid" same
		return
	fi
	rec env "$unit" "$pid" differs
	for line in $found; do
		sum=$(printf '%s\n%s\n' "$SALT" "$line" | sha256sum)
		printf '%s %s\n' "${sum%% *}" "${line%%=*}" >&3
	done
}

# look_users: the passwd lines, then the groups asked for and the users' own.
look_users() {
	gids=
	if [ "$users" ]; then
		lines=$(getent passwd -- $users)
		rec passwd
		printf '%s\n' "$lines" >&3
		for line in $lines; do
			line=${line#*:*:*:}
			gids="$gids$NL${line%%:*}"
		done
	fi
	if [ "$gids$GROUPS_" ]; then
		rec group
		getent group -- $gids $GROUPS_ >&3
	fi
}

look_disk() {
	[ "$DISK" ] || return
	set --
	flags=
	for f in $DISK; do
		near "$f"
		set -- "$@" "$near"
		if [ -w "$near" ]; then
			flags="$flags rw"
		else
			flags="$flags ro"
		fi
	done
	IFS=' '
	rec disk $flags
	IFS=$NL
	df --output=avail,iavail,itotal,target -B1 -- "$@" >&3 2>&1
}
