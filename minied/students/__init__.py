"""Students: networks and the learner. Nothing here knows of levels, teachers or worlds."""
