// Package show turns plans, states and reports into text for a person.
//
// Every function is pure: values in, a string out, with colours in it as ANSI
// sequences (Plain takes them out again). Whatever comes from a host or from a
// fleet repo goes through Clean first, so that no file name, reason or diff can
// move the cursor, change a colour or reverse a line.
//
// The package decides nothing: what differs, what is healthy and what an apply
// amounts to is said by packages rollout and controller. Start reading at plan.go.
package show
