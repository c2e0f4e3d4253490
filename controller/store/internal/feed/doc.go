// Package feed hands the changes of a store in this process to those who watch it.
package feed
