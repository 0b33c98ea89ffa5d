"""Train stored runs again and compare every number that the store holds of them.

    cases       a stored run -> the specification to train, or why it is not trained
    retrain     specifications -> results, each trajectory trained once, on all cores
    compare     a stored run beside its result -> what differs, and by how much
    closeness   equal to the bit, or on another kind of machine within a tolerance
    check       all of it for a sweep: the verdict on each run

What is read is data. A class is run only if it is the project's own, or if the user's
current configuration names it and its source is what it was.
"""
