"""Teachers: who decides which levels come next. One file a family, each readable beside its paper."""
