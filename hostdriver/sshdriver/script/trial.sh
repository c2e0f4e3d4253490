# trial.sh: what a step is to start, tried without starting it, and as it will be once the
# staged generation is in place. Nothing is changed.
#
# Set by the controller: TRIAL (lines, tab separated: kind, unit, key, name, user, group,
# PATH, LD_LIBRARY_PATH; "-" for none), VERIFY (lines: unit, path, digest), PORTS (an
# expression of grep -E, or nothing), MANIFEST (of what is staged, or nothing).
#
# Who stages may run anything on the host in a moment, as root if the unit says so; this is
# not about guarding against that. Still no staged program is run: a file's loader is asked
# for its libraries (ld.so --list, which runs nothing of the file) only if it is the host's own.

SEARCH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# try_trial: tells whether anything was found that must stop the step.
try_trial() {
	bad=
	[ "$TRIAL$VERIFY" ] || return 1
	places=
	for line in $MANIFEST; do
		case $line in
		"link$TAB"* | "file$TAB"* | "directory$TAB"*) places="$places$NL$line" ;;
		esac
	done
	asked= machine= generator='?'
	rec trial
	for need in $TRIAL; do
		IFS=$TAB
		set -- $need
		IFS=$NL
		t_kind=$1 t_unit=$2 t_key=$3 t_name=$4 t_user=$5 t_group=$6 t_path=$7 t_libs=$8
		"try_$t_kind"
	done
	try_as_users
	[ -z "$PORTS" ] || try_ports
	[ -z "$VERIFY" ] || try_units
	[ "$generator" = "?" ] || rm -f -- "$R/quadlet.units" "$R/quadlet.said"
	[ "$bad" ]
}

# found REASON [DETAIL]: of the need in hand.
found() {
	bad=1
	printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$t_unit" "$t_key" "$t_name" "${2:-}" >&3
}

# placed PATH: where that is now which will be at PATH, in $at. Of a file that is yet to be
# put in place that is its blob, and $blob its mode; of a directory $made is set.
placed() {
	at=$1 blob= made= hops=0
	while [ "$hops" -lt 20 ]; do
		hops=$((hops + 1))
		placed_by_manifest && continue
		[ -z "$blob$made" ] || return 0
		if [ -L "$at" ]; then
			to=$(readlink -- "$at")
			case $to in
			/*) at=$to ;;
			*) at=${at%/*}/$to ;;
			esac
		elif [ -e "$at" ]; then
			return 0
		else
			real=$(readlink -m -- "$at")
			[ "$real" != "$at" ] || return 0
			at=$real
		fi
	done
}

# placed_by_manifest: one step, where a link of the manifest leads on.
placed_by_manifest() {
	for line in $places; do
		IFS=$TAB
		set -- $line
		IFS=$NL
		case $1 in
		link)
			case $at/ in
			"$3"/*)
				to=$8
				case $to in
				/*) ;;
				*) to=${3%/*}/$to ;;
				esac
				at=$to${at#"$3"}
				return 0
				;;
			esac
			;;
		file) [ "$at" != "$3" ] || [ ! -f "$D/blobs/$4" ] || { at=$D/blobs/$4 blob=$7 && return 1; } ;;
		directory)
			case $3/ in
			"$at"/*) made=1 ;;
			esac
			;;
		esac
	done
	return 1
}

# executable: what is at $at, by anybody.
executable() {
	if [ "$blob" ]; then
		[ $((0$blob & 0111)) != 0 ]
	else
		[ -x "$at" ]
	fi
}

try_program() {
	placed "$t_name"
	if [ ! -e "$at" ]; then
		found program-missing
	elif [ -d "$at" ] || ! executable; then
		found not-executable
	else
		try_later "$at"
		try_file
	fi
}

# try_file: what would run the program at $at.
try_file() {
	file=$at
	IFS=" $NL"
	set -- $(od -An -v -tu1 -N1024 "$file" 2>/dev/null)
	IFS=$NL
	case "$1 $2 $3 $4" in
	"35 33 "*) try_script ;;
	"127 69 76 70") try_elf "$@" ;;
	*) other_formats || found not-a-program ;;
	esac
}

# other_formats: the kernel was told of more than it knows by itself (binfmt_misc).
other_formats() {
	set +f
	for format in /proc/sys/fs/binfmt_misc/*; do
		case ${format##*/} in
		register | status | '*') ;;
		*) set -f && return 0 ;;
		esac
	done
	set -f
	return 1
}

# try_script: the interpreter that its first line names, and what env(1) is to find. To env
# all the rest of the line is one word, unless it begins with -S.
try_script() {
	IFS= read -r first <"$file"
	IFS=" $TAB"
	set -- ${first#??}
	IFS=$NL
	runs=${1:-nothing}
	placed "$runs"
	case $runs in
	/*) [ -e "$at" ] && executable || { found interpreter-missing "$runs"; return; } ;;
	*) found interpreter-missing "$runs"; return ;;
	esac
	[ "${runs##*/}" = env ] && [ $# -gt 1 ] || return 0
	shift
	case $1 in
	-S) shift ;;
	-*) return 0 ;;
	*)
		IFS=' '
		set -- "$*"
		IFS=$NL
		;;
	esac
	case ${1:-=} in
	*=*) ;;
	/*)
		placed "$1"
		[ -e "$at" ] || found interpreter-missing "$1"
		;;
	*) try_search "$1" ;;
	esac
}

# try_search NAME: found by the PATH of the unit, where that is known.
try_search() {
	[ "$t_path" != '?' ] || return 0
	where=$SEARCH
	[ "$t_path" = - ] || where=$t_path
	IFS=:
	for dir in $where; do
		IFS=$NL
		placed "$dir/$1"
		[ ! -f "$at" ] || ! executable || return 0
	done
	IFS=$NL
	found interpreter-missing "$1 in $where"
}

# try_elf BYTE…: the machine that it is for, its loader, and its libraries (elf(5)).
try_elf() {
	class=$5 order=$6
	[ "$machine" ] || this_machine
	# A 64-bit machine may run what is for the 32-bit one of its kind.
	case "$machine/$5 $6 ${19} ${20}" in
	"$5 $6 ${19} ${20}/$machine") ;;
	"2 1 62 0/1 1 3 0" | "2 1 183 0/1 1 40 0") ;;
	*)
		other_formats || found wrong-architecture "$5 $6 ${19} ${20}/$machine"
		return
		;;
	esac
	[ "$order" = 1 ] || return 0
	if [ "$class" = 2 ]; then
		headers=$((${33} + ${34} * 256)) size=$((${55} + ${56} * 256)) count=$((${57} + ${58} * 256))
	else
		headers=$((${29} + ${30} * 256)) size=$((${43} + ${44} * 256)) count=$((${45} + ${46} * 256))
	fi
	[ "$headers" -lt $# ] && [ "$size" -ge 32 ] || return 0
	shift "$headers"
	while [ "$count" -gt 0 ] && [ $# -ge "$size" ]; do
		if [ "$1 $2 $3 $4" = "3 0 0 0" ]; then
			if [ "$class" = 2 ]; then
				from=$(($9 + ${10} * 256 + ${11} * 65536)) long=$((${33} + ${34} * 256))
			else
				from=$(($5 + $6 * 256 + $7 * 65536)) long=$((${17} + ${18} * 256))
			fi
			try_loader "$(dd if="$file" bs=4096 skip="$from" count=$((long - 1)) iflag=skip_bytes,count_bytes status=none)"
			return
		fi
		shift "$size"
		count=$((count - 1))
	done
}

# this_machine: what this shell is for: its class, its byte order, its processor.
this_machine() {
	IFS=" $NL"
	set -- $(od -An -v -tu1 -N20 /bin/sh)
	IFS=$NL
	machine="$5 $6 ${19} ${20}"
}

try_loader() {
	loader=$1
	placed "$loader"
	[ -e "$at" ] || { found loader-missing "$loader"; return; }
	# $ORIGIN of a blob would be another folder than that of the file that it is to be.
	case $file in
	"$D"/*) return ;;
	esac
	[ "$t_libs" != '?' ] || return 0
	set --
	[ "$t_libs" = - ] || set -- --library-path "$t_libs"
	# glibc's names all that is missing if it is told so by the environment; others take that
	# for a program to be run.
	trace=
	case $(readlink -f -- "$at") in
	/lib*/ld-linux* | /usr/lib*/ld-linux*) trace=LD_TRACE_LOADED_OBJECTS=1 ;;
	/lib/* | /lib[0-9x]*/* | /usr/lib/* | /usr/lib[0-9x]*/*) set -- "$@" --list ;;
	*) return 0 ;;
	esac
	for said in $(timeout 10 env $trace "$loader" "$@" "$file" 2>&1); do
		case $said in
		*" => not found"*)
			said=${said%% => not found*}
			found library-missing "${said#"$TAB"}"
			;;
		*"version \`"*"' not found"*)
			said=${said##*version \`}
			found library-missing "${said%%"'"*}, a version of a library"
			;;
		*"rror while loading shared librar"*": "*": cannot open shared object"*)
			said=${said#*libraries: }
			found library-missing "${said%%:*}"
			;;
		*"Error loading shared library "*)
			said=${said#*library }
			found library-missing "${said%%:*}"
			;;
		esac
	done
}

try_directory() {
	placed "$t_name"
	if [ "$made" ]; then
		return
	elif [ ! -d "$at" ]; then
		comes_with_it || found directory-missing
	else
		try_later "$at"
	fi
}

# comes_with_it: whether the folder at $at is made for something of the generation in it.
comes_with_it() {
	for line in $places; do
		IFS=$TAB
		set -- $line
		IFS=$NL
		case $3 in
		"$at"/*) return 0 ;;
		esac
	done
	return 1
}

# try_later PATH: asked as the user whom it is for, all of a user's at once.
try_later() {
	case $1 in
	*"$TAB"* | *"$NL"*) return ;;
	esac
	[ "$t_user" = - ] || [ "$blob" ] || asked="$asked$NL$t_user$TAB$t_group$TAB$t_kind$TAB$t_unit$TAB$t_key$TAB$t_name$TAB$1"
}

try_as_users() {
	[ "$asked" ] && command -v setpriv >/dev/null || return 0
	done_users=
	for line in $asked; do
		IFS=$TAB
		set -- $line
		IFS=$NL
		who=$1$TAB$2
		case "$done_users$NL" in
		*"$NL$who$NL"*) continue ;;
		esac
		done_users="$done_users$NL$who"
		as_user=$1 as_group=$2
		id -u -- "$as_user" >/dev/null 2>&1 || continue # it comes with the generation
		set --
		for other in $asked; do
			case $other in
			"$who$TAB"*) set -- "$@" "${other##*"$TAB"}" ;;
			esac
		done
		[ "$as_group" != - ] || as_group=$(id -g -- "$as_user")
		closed=$(setpriv --reuid="$as_user" --regid="$as_group" --init-groups -- /bin/sh -c 'for p; do [ -x "$p" ] || printf "%s\n" "$p"; done' sh "$@" 2>/dev/null) || continue
		for other in $asked; do
			case "$other" in
			"$who$TAB"*) tell_closed "$other" ;;
			esac
		done
	done
}

# tell_closed LINE: unless a directory of the generation, which may be opened by it, is above.
tell_closed() {
	IFS=$TAB
	set -- $1
	IFS=$NL
	case "$NL$closed$NL" in
	*"$NL$7$NL"*) ;;
	*) return ;;
	esac
	for line in $places; do
		case $line in
		"directory$TAB"*) ;;
		*) continue ;;
		esac
		line=${line#*"$TAB"*"$TAB"}
		case $7/ in
		"${line%%"$TAB"*}"/*) return ;;
		esac
	done
	t_unit=$4 t_key=$5 t_name=$6
	case $3 in
	program) found not-executable ;;
	*) found directory-closed ;;
	esac
}

try_env() {
	placed "$t_name"
	if [ "$blob" ]; then
		return
	elif [ ! -e "$at" ]; then
		found env-file-missing
	elif [ -d "$at" ]; then
		found env-file-unreadable "it is a directory"
	elif command -v iconv >/dev/null; then
		iconv -f UTF-8 -t UTF-8 "$at" >/dev/null 2>&1 || found env-file-unparsable
	fi
}

try_user() {
	case "$NL$MANIFEST" in
	*"${NL}user$TAB"*"$TAB$t_name$TAB"*) ;;
	*) id -u -- "$t_name" >/dev/null 2>&1 || found user-missing ;;
	esac
}

try_group() {
	case "$NL$MANIFEST" in
	*"${NL}user$TAB"*"$TAB$t_name$TAB"*) ;;
	*) getent group "$t_name" >/dev/null || found group-missing ;;
	esac
}

# try_kernel: a parameter that a file of /etc/sysctl.d sets.
try_kernel() {
	[ -e "$t_name" ] || found kernel-parameter-unknown
}

# try_logrotate: read, and nothing rotated (logrotate(8), -d). It says there what it ignores.
try_logrotate() {
	command -v logrotate >/dev/null || return 0
	placed "$t_name"
	for said in $(logrotate -d "$at" 2>&1); do
		case $said in
		"error: "*"$at:"*) said=${said#error: } && said=${said##*"$at":} && found logrotate-refuses "$said" && return ;;
		esac
	done
}

# try_quadlet: a generator must be there, and make a unit of the file. podman's own is asked
# (podman-systemd.unit(5)); of another one only that it is there is known.
try_quadlet() {
	[ "$generator" != '?' ] || ask_generator
	case $generator in
	'') found quadlet-generator-missing "$lacks" ;;
	podman) tell_quadlet ;;
	esac
}

# ask_generator: in $generator is podman, other or nothing, and what podman's makes of the
# files as they will be in $R/quadlet.units, and says of them in $R/quadlet.said.
ask_generator() {
	generator= lacks='it has no podman'
	! command -v podman >/dev/null || lacks="its podman ($(timeout 10 podman --version 2>/dev/null | tail -n 1)) brings no generator of Quadlet's"
	set +f
	for g in /run/systemd/system-generators/* /etc/systemd/system-generators/* /usr/local/lib/systemd/system-generators/* /usr/lib/systemd/system-generators/* /lib/systemd/system-generators/*; do
		case $(readlink -f -- "$g") in
		*/podman/quadlet | */podman-system-generator) [ ! -x "$g" ] || { generator=podman && break; } ;;
		*quadlet*) [ ! -x "$g" ] || generator=other ;;
		esac
	done
	set -f
	[ "$generator" = podman ] || return 0
	rm -rf -- "$R/quadlet"
	mkdir -p -- "$R/quadlet"
	[ ! -d /etc/containers/systemd ] || cp -RL -- /etc/containers/systemd/. "$R/quadlet" 2>/dev/null
	for line in $places; do
		case $line in
		"file$TAB"*"$TAB/etc/containers/systemd/"*) ;;
		*) continue ;;
		esac
		split "$line"
		[ -f "$D/blobs/$sha" ] || continue
		to=$R/quadlet/${name#/etc/containers/systemd/}
		mkdir -p -- "${to%/*}" && cp -- "$D/blobs/$sha" "$to"
	done
	QUADLET_UNIT_DIRS=$R/quadlet timeout 20 "$g" -no-kmsg-log -dryrun >"$R/quadlet.units" 2>"$R/quadlet.said" </dev/null
	rm -rf -- "$R/quadlet"
	[ -e "$R/quadlet.said" ] || generator=other
}

tell_quadlet() {
	makes=$t_unit
	case $makes in
	*@*) makes=${makes%%@*}@.service ;;
	esac
	! grep -qxF -e "---$t_unit---" -e "---$makes---" -- "$R/quadlet.units" || return 0
	said=$(grep -F -- "converting \"${t_name##*/}\": " "$R/quadlet.said" | tail -n 1)
	said=${said#*'": '}
	found quadlet-refused "${said:-it makes no $makes of it (does ServiceName= name it otherwise?)}"
}

# try_port: see try_ports, for all of them are looked for at once.
try_port() { :; }

# try_ports tells the addresses that somebody listens on, of those that are to be free
# (proc_pid_net(5)); the controller knows whose they should be.
try_ports() {
	for line in $(grep -hE "$PORTS" /proc/net/tcp /proc/net/tcp6 2>/dev/null); do
		IFS=' '
		set -- $line
		IFS=$NL
		bad=1
		holder=
		if command -v ss >/dev/null; then
			holder=$(ss -Hltnp "sport = :$((0x${2##*:}))" 2>/dev/null)
			case $holder in
			*users:*) holder=${holder#*users:((} && holder=${holder%%)*} ;;
			*) holder= ;;
			esac
		fi
		printf 'port\t%s\t%s\n' "$2" "$holder" >&3
	done
}

# verify ARGUMENT…: what systemd-analyze verify says, in $said.
verify() {
	said=$(SYSTEMD_UNIT_PATH=$R/verify: timeout 20 systemd-analyze verify --man=no "$@" 2>&1)
}

# try_units: the staged unit files, and this host's drop-ins, as this host's systemd reads
# them. That programs are not in their place yet is no finding.
try_units() {
	command -v systemd-analyze >/dev/null || return 0
	[ ! -e "$R/verify" ] || rm -rf -- "$R/verify"
	mkdir -p -- "$R/verify"
	set --
	for line in $VERIFY; do
		IFS=$TAB
		unit=${line%%"$TAB"*} blob=${line##*"$TAB"} name=${line#*"$TAB"}
		IFS=$NL
		name=${name%"$TAB"*}
		case "$NL$*$NL" in
		*"$NL$R/verify/$unit$NL"*) ;;
		*) set -- "$@" "$R/verify/$unit" ;;
		esac
		case $name in
		*.d/*.conf)
			to=${name%/*}
			to=$R/verify/${to##*/}
			mkdir -p -- "$to"
			to=$to/${name##*/}
			;;
		*) to=$R/verify/${name##*/} ;;
		esac
		if [ -f "$D/blobs/$blob" ]; then
			cp -- "$D/blobs/$blob" "$to"
		elif [ -f "$name" ]; then
			cp -- "$name" "$to"
		fi
	done
	verify --recursive-errors=no "$@"
	case $said in
	*"unrecognized option '--recursive-errors"*) verify "$@" ;; # older than systemd 250
	esac
	rm -rf -- "$R/verify"
	for line in $said; do
		case $line in
		*" is not executable: "* | *"nable to open"* | '') continue ;;
		*": Invalid section header"* | *"fatal error"* | *"Refusing."* | *"has a bad unit file setting"* | *"failed to load properly"*) bad=1 ;;
		esac
		printf 'said\t%s\n' "$line" >&3
	done
}
