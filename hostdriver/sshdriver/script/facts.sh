# facts.sh: how things are asked of a host, the same for readings and mutations.

# A file's facts (stat(1)). No field before its path has a slash, and no path that is
# asked for has two of them in a row; what follows those is the path again in C's
# quotes and, of a symbolic link, its target.
STAT='%f %a %s %U %u %G %g %.9Y %.9Z %i %n //%N\n'

# path_of LINE: the path in such a line, in $path.
path_of() {
	path=/${1#*/}
	path=${path%% //*}
}

# tree_seal PATH KEY: a digest of the facts of all that a release's stream had brought, in
# $seal. What was added since, such as a cache, does not count.
tree_seal() {
	seal=$(cd "$1" 2>/dev/null && xargs -0 stat --printf='%f %s %u %g %.9Y %.9Z %n\n' -- <"$D/lists/$2" 2>&1 | sha256sum)
	seal=${seal%% *}
}

# A unit's facts; setUnit in observe_units.go reads them.
PROPS=Id,LoadState,ActiveState,SubState,UnitFileState,Type,Result,InvocationID,MainPID,ExecMainStatus,ExecMainCode
PROPS=$PROPS,NRestarts,NeedDaemonReload,Job,FragmentPath,DropInPaths,SourcePath,ActiveEnterTimestamp,InactiveEnterTimestamp
PROPS=$PROPS,ExecMainStartTimestamp,EnvironmentFiles,LastTriggerUSec,NextElapseUSecRealtime,StatusText
PROPS=$PROPS,ConditionResult,CanReload,Restart,RequiredBy,RequisiteOf,BoundBy,ConsistsOf,Triggers

# show UNIT…: their facts, in $shown. Timestamps in microseconds need systemd 248; an
# older one is asked again without.
show() {
	case $* in
	*~*) shown=$(show_each "$@") ;;
	*)
		ctl=systemctl user=
		show_of "$@"
		;;
	esac
}

# show_of UNIT…: as they are called by the one that $ctl asks.
show_of() {
	shown=$($ctl show --no-pager --timestamp=us+utc -p "$PROPS" -- "$@" 2>/dev/null) ||
		shown=$($ctl show --no-pager -p "$PROPS" -- "$@" 2>&1)
}

# show_units prints the state of $units as observe.sh does.
show_units() {
	list=
	for unit in $units; do
		case $unit in
		*@.*) ;;
		*) list="$list$NL$unit" ;;
		esac
	done
	[ "$list" ] || return 0
	show $list || return 0
	rec units $list
	printf '%s\n' "$shown" >&3
}

# near DIR: the nearest existing parent, in $near.
near() {
	near=$1
	while [ ! -d "$near" ]; do
		near=${near%/*}
		near=${near:-/}
	done
}
