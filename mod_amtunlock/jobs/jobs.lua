#!lua name=amtunlock
