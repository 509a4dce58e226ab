"""MovieLens as deliveries of a film club; the package itself is fetched by nobody here."""

from samples import films

import pandas

RATINGS = pandas.DataFrame(
    {
        "movieId": [31, 10, 31],
        "title": ["Dangerous, Minds", "Golden Eye", "Dangerous, Minds"],
        "year": [1995.0, None, 1995.0],
        "genres": ["Drama|War", "(no genres listed)", "Drama|War"],
        "userId": [2, 1, 1],
        "rating": [2.5, 4.0, 5.0],
        "timestamp": [1260759144, 1260759144, 1260889144],
    }
)


def test_a_day_is_a_file_and_the_catalogue_has_each_film_once():
    made = {path: content.decode().splitlines() for path, content in films.deliveries(RATINGS)}
    assert made == {
        "films/ratings/2009-12-14.csv": [
            "user_id,film_id,rating,rated_at",
            "1,10,4.0,2009-12-14 02:52:24",
            "2,31,2.5,2009-12-14 02:52:24",
        ],
        "films/ratings/2009-12-15.csv": ["user_id,film_id,rating,rated_at", "1,31,5.0,2009-12-15 14:59:04"],
        "films/films.csv": [
            "film_id,title,year,genre,genres",
            "10,Golden Eye,,,(no genres listed)",
            '31,"Dangerous, Minds",1995,Drama,Drama|War',
        ],
    }


def test_without_being_asked_to_accept_the_terms_are_shown_and_nothing_is_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    monkeypatch.setenv("NIGHTFOLD_LANDING", f"file://{tmp_path / 'landing'}")
    assert films.main([]) == 0
    assert "no commercial use without permission" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_cannot_be_reached_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    monkeypatch.setenv("NIGHTFOLD_LANDING", f"file://{tmp_path / 'landing'}")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setattr(films, "NEEDS", tmp_path / "needs.txt")
    (tmp_path / "needs.txt").write_text("no-such-package-of-nightfold==1 --hash=sha256:" + "0" * 64 + "\n")
    assert films.main(["--accept"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("samples.films: needs.txt: the films cannot be fetched: ")
    assert error.count("\n") == 1
