"""Train stored runs again and compare every number that the store holds of them.

    cases       a stored run -> the specification to train, or why it is not trained
    values      what is stored and what training gives, each as one flat mapping
    compare     two such mappings -> what differs; exactly, or within a tolerance
    check       all of it for a sweep: the verdict on each run

What is read is data. A class is run only if it is the project's own, or if the user's
current configuration names it and its source is what it was.
"""
