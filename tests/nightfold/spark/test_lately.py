"""How the last day compares with the same weekday before."""

from datetime import date

from nightfold.spark.lately import lately


def test_the_last_day_is_held_against_the_median_of_its_weekday(utc):
    users = {100: 3, 93: 6, 86: 4, 79: 9, 72: 8, 65: 99, 99: 2}
    rows = [(f"u{i}", day) for day, count in users.items() for i in range(count)]
    found = lately(utc.createDataFrame(rows * 2, "who string, day int"), "who", 100, closed=[])
    assert found == {"active_users": 3, "compared_day": "1970-04-11", "last_day_users": 3, "usual_users": 7.0}


def test_a_first_week_has_nothing_to_be_held_against(utc):
    found = lately(utc.createDataFrame([("u", 3)], "who string, day int"), "who", 3, closed=[])
    assert found == {"active_users": 1, "compared_day": "1970-01-04", "last_day_users": 1, "usual_users": None}


def test_who_is_active_is_counted_over_days_that_are_not_closed(utc):
    rows = [(f"u{day}", day) for day in range(10)] + [("late", 6)]
    closed = [date(1970, 1, day) for day in (6, 7, 8)]
    found = lately(
        utc.createDataFrame([row for row in rows if row[1] not in (5, 6, 7)], "who string, day int"), "who", 9, closed=closed
    )
    assert found["active_users"] == 7, "of days 9, 8, and 4 to 0"
    more = lately(utc.createDataFrame(rows, "who string, day int"), "who", 8, closed=closed)
    assert more["active_users"] == 6, "of days 8, and 4 to 0"
