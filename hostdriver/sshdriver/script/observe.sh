# observe.sh: one reading of the host. It writes nothing.
#
# Set by the controller: KNOWN, PATHS, BARE, WANT, UNITS, TEMPLATES, USERS, GROUPS_, DISK, ENVS, SALT, SEALS, LIGHT, GENERATIONS.
# Lists are one item a line; no item holds a control character.
#
# Order: the host's own records first, for they name further units and paths; then
# units, for they name processes; then paths and processes; and at last the mutation
# counter again. If a mutation began or ended meanwhile, all of it is read once more, so
# a reading never joins two generations. A process that ended after its unit was read
# shows as unreadable, which the next reading settles.
#
# A process costs more than all the rest of a reading, so each is one for all: the few
# there are stand where "rec" begins what they print.

op_observe() {
	be_root
	turn=0 vanished=0
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
	look_units
	look_host
	[ "$LIGHT" != 1 ] || return 0
	look_paths
	look_trees
	read_envs
	look_sums
	look_contents
	look_seals
	look_envs
	look_users
	look_disk
}

# own_records tells epoch, claim, step, journal, started, release, refusal and hook records and
# the manifest (or all kept ones) as files, each under a "==> NAME <==" line (head -v), and the kept generations with the
# first lines of their manifests.
own_records() {
	set +f
	kept= generations= heads=
	for f in "$D"/generations/[1-9]*/manifest; do
		[ -e "$f" ] || continue
		[ "$GENERATIONS" = 0 ] || generations="$generations$NL$f"
		# Its first line has the revision.
		if [ "$LIGHT" != 1 ] && { read -r head <"$f"; } 2>/dev/null; then
			heads="$heads$NL$head"
		fi
		f=${f%/manifest}
		kept="$kept ${f##*/}"
	done
	set -f
	own_list
	if [ -L "$D/current" ] && [ ! -f "$D/current/manifest" ]; then
		die failed "$D/current names a generation that is not there" \
			"restore $D from a backup, or move it away to have the host adopted anew"
	fi
	own=
	[ -z "$own_files" ] || own=$(head -c 4194304 -v -- $own_files 2>&1) || own_unreadable
	rec own
	printf '%s\n' "${own%%"==> /etc/"*}" >&3
	rec kept $kept
	printf '%s\n' "$heads" >&3
	own_names
}

# own_list: the records that are there now, whose names have no blanks. One that is
# being written (NAME.new) is none yet.
own_list() {
	own_files=
	set +f
	# The last two are not sent: they answer for most users and groups without NSS.
	for f in "$D"/epoch "$D"/claim "$D"/step "$D"/switching "$D"/deadman "$D"/started/* "$D"/wanted/* "$D"/releases/* \
		"$D"/refused/*.refused "$D"/hooks/* $generations "$D"/current/manifest /etc/passwd /etc/group; do
		case $f in
		*.new) continue ;;
		esac
		[ -f "$f" ] && own_files="$own_files$f$NL"
	done
	set -f
}

# own_unreadable: a file that was there a moment ago is gone: somebody is changing the
# records. The list is made anew, unless it fails again and again.
own_unreadable() {
	counter
	if [ "$seq" != "$before" ]; then
		return
	fi
	vanished=$((vanished + 1))
	if [ "$vanished" -le 20 ]; then
		own_list
		own=$(head -c 4194304 -v -- $own_files 2>&1) || own_unreadable
		return
	fi
	die failed "its own records in $D cannot be read: $own" "look at the filesystem of $D"
}

# own_names adds what the manifest on disk names to what was asked, unless the
# controller knows this very manifest (its first line is unique) and has done so.
own_names() {
	paths=$PATHS units=$UNITS users=$USERS templates=$TEMPLATES sealed=
	passwd= group= gids= walk= trees=
	for line in $own; do
		case $line in
		"==> /etc/passwd <==") walk=passwd ;;
		"==> /etc/group <==") walk=group ;;
		"==> $D/generations/"*) walk=kept ;;
		"==> "*" <==")
			key=${line##*/}
			key=${key% <==}
			walk=
			;;
		"released$TAB"*) tree=${line##*"$TAB"} ;;
		"tree$TAB"*) trees="$trees$NL$key$TAB${line#*"$TAB"}$TAB$tree" ;;
		"evenkeel$TAB"*)
			[ "$walk" = kept ] || [ "$line" = "$KNOWN" ] || walk=manifest
			;;
		"stat$TAB"*)
			[ "$walk" = kept ] || sealed="$sealed$NL${line#*"$TAB"}"
			;;
		*)
			own_line
			;;
		esac
	done
	sealed="$sealed$NL"
}

own_line() {
	case $walk in
	manifest) own_entry ;;
	passwd)
		case "$NL$users$NL" in
		*"$NL${line%%:*}$NL"*) user_line ;;
		esac
		;;
	group)
		name=${line%%:*}
		gid=${line#*:*:}
		case "$NL$GROUPS_$NL$NL$gids$NL" in
		*"$NL$name$NL"* | *"$NL${gid%%:*}$NL"*) group="$group$NL$line" ;;
		esac
		;;
	esac
}

user_line() {
	passwd="$passwd$NL$line"
	gid=${line#*:*:*:}
	gids="$gids$NL${gid%%:*}"
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

# look_paths: one stat for all, with where symbolic links point, among them each
# process' exe and cwd; one sha256sum for the regular files. A release whose stat is as it
# was when it was staged counts as unchanged and is not hashed.
look_paths() {
	rec procs
	printf '%s\n' "$procs" >&3
	# The stat process' own folder is made when it is looked up: its time is the host's clock.
	set -- /proc/self/status
	for line in $procs; do
		set -- "$@" "/proc/${line%% *}/exe" "/proc/${line%% *}/cwd"
	done
	unread=
	for f in $BARE; do
		case "$NL$paths$NL" in
		*"$NL$f$NL"*) ;; # managed: it is read after all
		*) unread="$unread$NL$f" ;;
		esac
	done
	stats=$(stat --printf="$STAT" -- "$@" $paths $unread 2>&1)
	rec stat
	printf '%s\n' "$stats" >&3
	files=
	for line in $stats; do
		case $line in
		8*) ;;
		*) continue ;;
		esac
		case $sealed in
		*"$NL$line$NL"*) continue ;;
		esac
		path_of "$line"
		case "$unread$NL" in
		*"$NL$path$NL"*) continue ;;
		esac
		[ "$path" = /proc/self/status ] || files="$files$NL$path"
	done
}

# look_trees tells which unpacked releases are not as they were staged. If nothing in one
# changed since its record was written, that is one process; else what its stream had
# brought is looked at, file by file.
look_trees() {
	torn=
	for tree in $trees; do
		key=${tree%%"$TAB"*}
		tree=${tree#*"$TAB"}
		path=${tree#*"$TAB"}
		case "$NL$paths$NL" in
		*"$NL$path$NL"*) ;;
		*) continue ;;
		esac
		newer=$(find "$path" -cnewer "$D/releases/$key" -print -quit 2>&1) && [ -z "$newer" ] && continue
		tree_seal "$path" "$key"
		[ "$seal" = "${tree%%"$TAB"*}" ] || torn="$torn$NL$path"
	done
	rec torn
	printf '%s\n' "$torn" >&3
}

# look_contents sends the files whose digest is not the one asked for. A line of
# WANT is: largest size, the line sha256sum should have printed, the path. Of all together
# no more is sent than the controller is willing to read.
look_contents() {
	room=4194304
	for want in $WANT; do
		line=${want#*"$TAB"}
		case "$NL$filesums$NL" in
		*"$NL${line%%"$TAB"*}$NL"*) continue ;;
		esac
		look_content "${want%%"$TAB"*}" "${line#*"$TAB"}"
	done
}

look_content() {
	for line in $stats; do
		path_of "$line"
		case $line in
		8*) [ "$path" = "$2" ] || continue ;;
		*) continue ;;
		esac
		size=${line#* * }
		size=${size%% *}
		[ "$size" -le "$1" ] && [ "$size" -le "$room" ] || return
		room=$((room - size))
		rec content
		printf '%s\n' "$2" >&3
		head -c "$1" -- "$2" 2>/dev/null | base64 -w0 >&3
		return
	done
}

# look_seals tells of encrypted credentials whether they hold what is meant. A line of SEALS
# is name, digest, path, tab separated. Only a digest keyed with SALT is made of a value, and
# not even that leaves the host.
look_seals() {
	for line in $SEALS; do
		name=${line%%"$TAB"*}
		line=${line#*"$TAB"}
		path=${line#*"$TAB"}
		[ -f "$path" ] && [ ! -L "$path" ] || continue
		sum=$(
			{
				printf '%s\n' "$SALT"
				systemd-creds decrypt --name="$name" -- "$path" - 2>/dev/null
			} | sha256sum
		)
		if [ "${sum%% *}" = "${line%%"$TAB"*}" ]; then
			rec seal same
			printf '%s\n' "$path" >&3
		elif why=$(systemd-creds decrypt --name="$name" -- "$path" - 2>&1 >/dev/null); then
			rec seal differs
			printf '%s\n' "$path" >&3
		else
			rec seal unreadable
			printf '%s\n%s\n' "$path" "$why" >&3
		fi
	done
}

# look_units: one systemctl for all, which answers in their order, each with one Id.
# (A service has its MainPID before its Id: should that ever change, the controller
# sees that the two disagree.)
look_units() {
	shown= procs=
	if [ "$units" ]; then
		show $units || die failed "systemctl show: $shown" "is systemd running there, and is this a unit name?"
		rec units $units
		printf '%s\n' "$shown" >&3
	fi
	if [ "$templates" ]; then
		rec templates
		list_templates 2>/dev/null >&3
	fi
	case $units$templates in
	*~*) look_managers ;;
	esac
	[ "$LIGHT" = 1 ] && return
	look_links
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

# look_links tells where the units are linked, and by which other names: a line of unit, tab
# and folder or name each. It takes no process.
look_links() {
	links= others=
	set +f
	for f in /etc/systemd/system/*.wants/* /etc/systemd/system/*.requires/* /etc/systemd/system/*.upholds/*; do
		unit=${f##*/}
		f=${f%/*}
		case "$NL$units$NL" in
		*"$NL$unit$NL"*) links="$links$NL$unit$TAB${f##*/}" ;;
		esac
	done
	for f in /etc/systemd/system/*.*; do
		[ -L "$f" ] && [ -f "$f" ] && others="$others$NL$f"
	done
	set -f
	for f in $others; do
		for unit in $units; do
			[ "${f##*.}" = "${unit##*.}" ] && [ "${f##*/}" != "$unit" ] || continue
			[ "$f" -ef "/etc/systemd/system/$unit" ] && links="$links$NL$unit$TAB${f##*/}"
		done
	done
	rec links
	printf '%s\n' "$links" >&3
}

# list_templates: what systemctl says of their files, with their names as they were asked for.
list_templates() (
	hosts=
	for unit in $templates; do
		case $unit in
		*~*) manager "$unit" && line=$($ctl list-unit-files --no-legend --no-pager --full -- "$bare") && printf '%s\n' "${line:+$user~$line}" ;;
		*) hosts="$hosts$NL$unit" ;;
		esac
	done
	[ -z "$hosts" ] || systemctl list-unit-files --no-legend --no-pager --full -- $hosts
)

# look_managers tells of the users whose units there are: does the manager of each run,
# does it run from boot on (and have we seen to that), and what does the host lack for it.
look_managers() {
	cared=$NL
	for unit in $units $templates; do
		case $unit in
		*~*) ;;
		*) continue ;;
		esac
		case $cared in
		*"$NL${unit%%~*}$NL"*) continue ;;
		esac
		cared="$cared${unit%%~*}$NL"
		manager "$unit"
		linger=off ours=- up=down
		lingers && linger=on
		[ -e "$D/lingers/$user" ] && ours=ours
		is_up && up=up
		rec manager "$user" "$linger" "$ours" "$up"
		printf '%s\n' "$lacks" >&3
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
	creds=-
	! command -v systemd-creds >/dev/null 2>&1 || creds=creds
	rec host "${boot:--}" "${version:--}" "$before" "$creds"
}

# look_users tells the passwd and group lines of who was asked for, and of the users'
# own groups. Who is not in the files may be in another database.
look_users() {
	missing=
	for name in $users; do
		case "$passwd" in
		*"$NL$name:"*) ;;
		*) missing="$missing$NL$name" ;;
		esac
	done
	if [ "$missing" ]; then
		for line in $(getent passwd -- $missing); do
			user_line
		done
	fi
	missing=
	for name in $GROUPS_; do
		case "$group" in
		*"$NL$name:"*) ;;
		*) missing="$missing$NL$name" ;;
		esac
	done
	for gid in $gids; do
		case "$group$NL" in
		*"$NL"*:*:"$gid":*"$NL"*) ;;
		*) missing="$missing$NL$gid" ;;
		esac
	done
	[ -z "$missing" ] || group=$group$NL$(getent group -- $missing)
	rec passwd
	printf '%s\n' "$passwd" >&3
	rec group
	printf '%s\n' "$group" >&3
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
