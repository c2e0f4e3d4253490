# enable.sh: units reloaded, enabled and disabled as the generation that generation.sh has
# put in place says, told by UnitFileState.

# states_of UNIT…: $loads and $files, a word each in the order given, from one systemctl,
# whose answer stays in $shown and whose units, those that are no templates, in $plain. A
# template is never loaded: only its file has a state. $due tells whether systemd itself
# knows that it has an older file of one.
states_of() {
	loads= files= plain= due=
	for unit; do
		case $unit in
		*@.*) ;;
		*) plain="$plain$NL$unit" ;;
		esac
	done
	shown=
	[ -z "$plain" ] || show $plain || {
		why="systemctl show: $shown"
		return 1
	}
	l=0 f=0
	for line in $shown; do
		case $line in
		LoadState=*) l=$((l + 1)) && eval "load$l=\${line#*=}" ;;
		UnitFileState=*) f=$((f + 1)) && eval "file$f=\${line#*=}" ;;
		NeedDaemonReload=yes) due=1 ;;
		esac
	done
	n=0
	for unit; do
		case $unit in
		*@.*)
			load=loaded
			manager "$unit"
			file=$($ctl is-enabled -- "$bare" 2>/dev/null)
			;;
		*)
			n=$((n + 1))
			eval "load=\$load$n file=\$file$n"
			;;
		esac
		loads="$loads$NL$load"
		files="$files$NL${file:--}"
	done
	[ "$l" = "$n" ] && [ "$f" = "$n" ] && return 0
	why="systemctl show tells of $l units, and $n were asked for"
	return 1
}

# disable_gone: the units that only the other generation had, while their files are
# still there to tell what enabling them has made.
disable_gone() {
	list= turned_off=
	for line in $gone; do
		split "$line"
		[ "$kind" = unit ] && [ "$enabled" = yes ] && list="$list$NL$name"
	done
	[ "$list" ] || return 0
	states_of $list || return 1
	set -- $files
	disable=
	for unit in $list; do
		case $1 in
		enabled | enabled-runtime | linked | linked-runtime) disable="$disable$NL$unit" ;;
		esac
		shift
	done
	[ "$disable" ] || return 0
	turned_off=1
	each_of "$disable" --no-reload disable || {
		why="cannot disable: $why"
		return 1
	}
}

# set_units: daemon-reload where anything may need it, then enabled or disabled as the
# manifest says, told by strings, for the exit status of is-enabled is 0 for some that
# cannot be enabled. What systemd said last of all units is left in $shown and $plain.
set_units() {
	linger_on || return 1
	enable_new
	relink || return 1
	reloaded=
	if must_reload; then
		reload || return 1
		reloaded=1
	fi
	list= wants=
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = unit ] || continue
		list="$list$NL$name" wants="$wants$NL$enabled $state"
	done
	set -- $list
	number=$#
	and_others
	plain=
	[ "$list" ] || return 0
	states_of $list || return 1
	if [ -z "$reloaded" ] && { [ "$due" ] || ! all_loaded; }; then
		reload && states_of $list || return 1
	fi
	enable= disable=
	set -- $list
	for file in $files; do
		[ "$number" -gt 0 ] || break
		number=$((number - 1))
		judge "$1" "$file" || return 1
		shift
	done
	[ "$enable$disable" ] || return 0
	plain=
	[ -z "$enable" ] || each_of "$enable" --no-reload enable || {
		why="cannot enable: $why" mend="see whether the unit's [Install] section is right; of a user's unit, also whether the user has a home to write to"
		return 1
	}
	[ -z "$disable" ] || each_of "$disable" --no-reload disable || {
		why="cannot disable: $why"
		return 1
	}
	reload
}

# all_loaded: whether systemd has come to know by itself what it did not know.
all_loaded() {
	set -- $loads
	for name in $list; do
		[ "$1" = loaded ] || ! is_fresh "$name" || return 1
		shift
	done
}

# and_others adds the other units of the other generation to $list: the controller is told
# of them, too.
and_others() {
	for line in $othertext; do
		split "$line"
		[ "$kind" = unit ] || continue
		case "$list$NL" in
		*"$NL$name$NL"*) ;;
		*) list="$list$NL$name" ;;
		esac
	done
}

# enable_new: units that only this generation has are enabled before the reload, which
# then need not come twice: it is the dearest thing in a switch. What is not plain about
# one is left to set_units, which looks at all of them anyway. Of one that had no file
# before ($unknown) nothing is to be asked.
enable_new() {
	turned_on= list= i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = unit ] && [ "$enabled" = yes ] || continue
		key
		case $others$name in
		*"$NL$key$NL"* | *~*) ;;
		*) list="$list$NL$name" ;;
		esac
	done
	[ "$list" ] || return 0
	asked=
	for name in $list; do
		case ${unknown-} in
		*"$NL$name$NL"*) ;;
		*) asked=1 ;;
		esac
	done
	if [ "$asked" ]; then
		# One word for each that is there, in their order.
		files=$(systemctl is-enabled -- $list 2>/dev/null)
		new=$list list=
		set -- $new
		for file in $files; do
			[ "$file" = disabled ] && list="$list$NL${1-}"
			[ $# = 0 ] || shift
		done
		[ $# = 0 ] && [ "$list" ] || return 0
	fi
	for name in $list; do
		is_fresh "$name" || turned_on=1
	done
	systemctl --no-reload enable -- $list >/dev/null 2>&1
	return 0
}

# relink: what REENABLE names is linked as its [Install] says now, before the reload. Files
# are read from the disk for that.
relink() {
	[ "$REENABLE" ] || return 0
	list= i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = unit ] && [ "$enabled" = yes ] || continue
		case "$NL$REENABLE$NL" in
		*"$NL$name$NL"*) list="$list$NL$name" ;;
		esac
	done
	[ "$list" ] || return 0
	turned_on=1
	each_of "$list" --no-reload reenable && return 0
	why="cannot link anew: $why" mend="see whether the unit's [Install] section is right"
	return 1
}

# judge UNIT FILESTATE takes the first of $loads and $wants.
judge() {
	load=${loads#"$NL"} want=${wants#"$NL"}
	case $load in
	*"$NL"*) loads=$NL${load#*"$NL"} wants=$NL${want#*"$NL"} ;;
	esac
	load=${load%%"$NL"*} want=${want%%"$NL"*}
	mend="correct the unit's enabled in the service"
	case "$load $want" in
	"masked yes "* | "masked "*" started")
		manager "$1"
		why="$1 is masked" mend="$ask unmask $bare there, or suspend the host"
		return 1
		;;
	esac
	case "${want% *} $2" in
	"yes enabled") ;;
	"yes disabled" | "yes enabled-runtime" | "yes linked" | "yes linked-runtime") enable="$enable$NL$1" ;;
	"yes static") cannot_enable "$1" "it has no [Install] section" ;;
	"yes generated") cannot_enable "$1" "a generator makes it, which also says what starts it" ;;
	"yes transient") cannot_enable "$1" "it is transient" ;;
	"yes alias") cannot_enable "$1" "it is another unit's alias" ;;
	"yes indirect") cannot_enable "$1" "its [Install] section only names others (Also=)" ;;
	"yes masked" | "yes masked-runtime") cannot_enable "$1" "it is masked" ;;
	"yes -") cannot_enable "$1" "it has no unit file" ;;
	"yes "*) cannot_enable "$1" "its unit file is $2" ;;
	"no enabled" | "no enabled-runtime" | "no linked-runtime") disable="$disable$NL$1" ;;
	esac
}

cannot_enable() {
	why="$1 cannot be enabled: $2"
	return 1
}
