"""How the last day compares with the same weekday before."""

from nightfold.spark.lately import lately


def test_the_last_day_is_held_against_the_median_of_its_weekday(utc):
    users = {100: 3, 93: 6, 86: 4, 79: 9, 72: 8, 65: 99, 99: 2}
    rows = [(f"u{i}", day) for day, count in users.items() for i in range(count)]
    found = lately(utc.createDataFrame(rows * 2, "who string, day int"), "who", 100)
    assert found == {"active_users": 3, "compared_day": "1970-04-11", "last_day_users": 3, "usual_users": 7.0}


def test_a_first_week_has_nothing_to_be_held_against(utc):
    found = lately(utc.createDataFrame([("u", 3)], "who string, day int"), "who", 3)
    assert found == {"active_users": 1, "compared_day": "1970-01-04", "last_day_users": 1, "usual_users": None}
