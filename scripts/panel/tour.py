"""A visit to the panel, from the first link to the removal. Each check is one promise; they build on
each other, in the order of `checks`."""
import json
import re
import urllib.error
import urllib.request

from playwright.sync_api import expect, sync_playwright

import look
from world import wait_for

VIEWS = ["transfers", "sharing", "applications", "activity", "settings", "about", "remove"]
NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1200, "height": 860}
# Every wait of the browser for the page. A beat of the page is a second; machines may be busy.
PATIENCE_MS = 30_000


class Tour:
    """The browser and its pages."""

    def __init__(self, world, chromium, screenshots, stack):
        self.world, self.screenshots = world, screenshots
        playwright = stack.enter_context(sync_playwright())
        # Chromium's own sandbox does not work for root.
        self.browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        stack.callback(self.browser.close)
        self.requests, self.complaints, self.policies = [], [], {}
        expect.set_options(timeout=PATIENCE_MS)
        self.used_link = world.link()
        world.download()
        self.page = self.open(self.used_link, WIDE, "light")

    def checks(self):
        return [
            self.a_link_works_once,
            self.the_transfer_is_shown_live_with_where_it_comes_from,
            self.a_publisher_without_an_answer_is_asked_about_by_keyboard,
            self.a_yes_opens_a_door,
            self.a_yes_is_taken_back_by_a_click,
            self.a_download_is_paused_and_goes_on,
            self.a_download_that_runs_takes_its_share_of_the_line,
            self.everything_is_paused_and_goes_on,
            self.applications_are_listed,
            self.settings_are_kept_and_nonsense_is_not,
            self.activity_and_what_is_this_tell_what_was_done,
            self.every_view_is_reached_by_keyboard,
            self.everything_has_a_name_and_a_place,
            self.light_has_contrast,
            self.dark_has_contrast,
            self.nothing_sticks_out_at_360_pixels,
            *([self.axe_finds_nothing_wrong] if look.axe() else []),
            self.others_get_nothing,
            self.removal_removes,
            self.nothing_was_asked_of_anybody_else,
            self.the_policy_is_strict_and_nothing_is_inline,
        ]

    # Opening

    def open(self, link, size, scheme):
        """A window of its own at a link."""
        context = self.browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB",
                                           timezone_id="UTC", reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", self.note_policy)
        page.on("console", self.note_complaint)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(link)
        expect(page.locator("#rate-down")).not_to_have_text("–")
        return page

    def note_policy(self, response):
        if "/v1/" not in response.url and response.status == 200:
            self.policies[response.url] = response.headers.get("content-security-policy", "")

    def note_complaint(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def shoot(self, name, page=None):
        (page or self.page).screenshot(path=self.screenshots / f"{name}.png", full_page=True)

    def view(self, name, page=None):
        page = page or self.page
        page.evaluate("name => { location.hash = `#/${name}`; }", name)
        expect(page.locator(f"#{name}")).to_be_visible()

    def status(self):
        return self.world.json("status")["service"]

    def answer(self):
        """The answer that stands; None: nobody answered."""
        consents = self.world.json("share")["consents"]
        return consents[0] if consents else None

    # The way in

    def a_link_works_once(self):
        page = self.browser.new_context().new_page()
        assert page.goto(self.used_link).status == 403
        assert "peerlift panel" in page.inner_text("body")
        assert page.goto(re.sub("/open.*", "/", self.used_link)).status == 403, "without a link"
        page.context.close()

    # Transfers

    def the_transfer_is_shown_live_with_where_it_comes_from(self):
        row = self.page.locator("#under-way li")
        expect(row).to_have_count(1)
        expect(row.locator("h3")).to_have_text("example-os.iso")
        expect(row.locator(".badge")).to_have_text("downloading")
        # How much of it that is depends on how soon the peer brings enough.
        expect(row.locator(".figures")).to_contain_text(re.compile(r"[1-9]\S* [kM]B from servers"))
        expect(row.locator(".figures")).to_contain_text(re.compile(r"[1-9]\S* [kM]B from other users"))
        expect(row.locator(".figures")).to_contain_text(re.compile(r"↓ [\d.]+ MB/s"))
        path = self.page.locator("#plot path.peers")
        expect(path).to_have_attribute("d", re.compile(r"L"))
        before = path.get_attribute("d")
        expect(path).not_to_have_attribute("d", before)
        said = self.page.locator("#plot-words").text_content()
        assert "from the publisher’s servers" in said, said

    # Consent

    def a_publisher_without_an_answer_is_asked_about_by_keyboard(self):
        page = self.page
        expect(page.locator('nav a[href="#/sharing"] .count')).to_have_text("1")
        assert self.answer() is None and not self.status()["listening"], self.status()
        self.view("sharing")
        expect(page.locator("#sharing-now")).to_contain_text("Nothing is shared")
        self.shoot("light-question-waiting")
        page.get_by_role("button", name="Answer… Example OS").focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(page.locator("#agree-off")).to_be_checked()
        page.locator("#agree-off").focus()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#question-text")).to_contain_text("only while the download runs")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#agree-background")).to_be_checked()
        expect(page.locator("#question-text")).to_contain_text("IP address")
        self.shoot("light-question")
        shown = page.locator("#question-text").inner_text()
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        expect(page.locator("#publishers .badge")).to_have_text("shared in the background")
        kept = self.answer()
        assert kept["share"] == "in-background" and kept["asked_by"].startswith("peerlift panel"), kept
        assert kept["text"].replace("\n", " ") == shown, (kept["text"], shown)

    def a_yes_opens_a_door(self):
        expect(self.page.locator("#sharing-now")).to_contain_text(re.compile("let in at .*[0-9]"))
        assert self.status()["listening"], "no port is open"
        self.view("transfers")
        figures = self.page.locator("#under-way li .figures")
        expect(figures).to_contain_text(re.compile(r"[1-9][\d.]* (k|M)B from other users"))
        expect(self.page.locator("#now-peers")).to_have_text(re.compile(r"[1-9].* [kM]B/s"))
        self.shoot("light-both-sources")

    def a_yes_is_taken_back_by_a_click(self):
        self.view("sharing")
        self.shoot("light-sharing")
        self.page.get_by_role("button", name="Stop sharing files of Example OS").click()
        expect(self.page.locator("#publishers .badge")).to_have_text("not shared")
        expect(self.page.locator("#live")).to_contain_text("not shared")
        assert self.answer()["share"] == "off"
        wait_for(lambda: not self.status()["listening"], "the ports are closed")

    # Pauses

    def a_download_is_paused_and_goes_on(self):
        self.view("transfers")
        self.page.get_by_role("button", name="Pause: example-os.iso").click()
        expect(self.page.locator("#under-way .badge")).to_have_text("paused")
        assert self.world.first()["state"] == "paused"
        self.page.get_by_role("button", name="Go on: example-os.iso").click()
        expect(self.page.locator("#under-way .badge")).to_have_text("downloading")
        assert self.world.first()["state"] == "running"

    def a_download_that_runs_takes_its_share_of_the_line(self):
        manners = self.page.get_by_label("What it does to the line: example-os.iso")
        expect(manners).to_have_value("background")
        manners.select_option("foreground")
        expect(self.page.locator("#live")).to_have_text("example-os.iso takes its share of the line")
        assert self.world.first()["wanted"]["foreground"] is True
        expect(self.page.locator("#under-way .badge")).to_have_text("downloading")

    def everything_is_paused_and_goes_on(self):
        self.page.get_by_role("button", name="Pause everything").click()
        expect(self.page.locator("#notices")).to_contain_text("Everything is paused")
        expect(self.page.locator("#live")).to_have_text("Everything is paused")
        status = self.status()
        assert status["downloads_paused"] and status["sharing_paused"] and status["running"] == 0, status
        expect(self.page.locator("#rate-down")).to_have_text("0 B/s")
        self.shoot("light-paused")
        self.page.get_by_role("button", name="Let everything go on").click()
        expect(self.page.locator("#notices")).not_to_contain_text("Everything is paused")
        status = self.status()
        assert not status["downloads_paused"] and not status["sharing_paused"], status
        assert self.world.first()["state"] == "running"

    # The other views

    def applications_are_listed(self):
        self.view("applications")
        expect(self.page.locator("#no-applications")).to_be_visible()
        self.world.run("app", "register", "org.example.game", "--name", "A game <b>")
        expect(self.page.locator("#application-list h2")).to_have_text("A game <b>")

    def settings_are_kept_and_nonsense_is_not(self):
        self.view("settings")
        month, save = self.page.get_by_label("Gigabytes a month"), self.page.get_by_role(
            "button", name="Save settings")
        expect(month).to_have_value("20")
        month.fill("-3")
        save.click()
        expect(self.page.locator("#settings-fault")).to_contain_text("Gigabytes a month")
        expect(month).to_be_focused()
        self.shoot("light-settings-fault")
        month.fill("5.5")
        self.page.get_by_label("On battery").check()
        hours = self.page.get_by_role("group", name="When files are shared")
        hours.get_by_label("At any hour").uncheck()
        hours.get_by_label("From").fill("22:00")
        hours.get_by_label("Until").fill("22:00")
        save.click()
        expect(self.page.locator("#settings-fault")).to_contain_text("another time")
        hours.get_by_label("Until").fill("21:59")
        background = self.page.get_by_role("group", name="When files are downloaded in the background")
        expect(background.get_by_label("From")).to_be_hidden()
        background.get_by_label("At any hour").uncheck()
        expect(background.get_by_label("From")).to_have_value("22:00")
        background.get_by_label("Until").fill("21:58")
        self.page.get_by_label("Gigabytes that stay free").fill("0.001")
        self.shoot("light-settings-hours")
        save.click()
        expect(self.page.locator("#settings-file")).to_contain_text("Saved")
        assert self.world.json("share")["limits"]["month-bytes"] == 5_500_000_000
        file = self.world.home / ".config" / "peerlift" / "config.toml"
        for line in ["pause-on-battery = true", 'hours = "22:00-21:59"', 'background-hours = "22:00-21:58"',
                     'disk-free = "1000000"']:
            assert line in file.read_text(), file.read_text()

    def activity_and_what_is_this_tell_what_was_done(self):
        self.view("activity")
        entries = self.page.locator("#entries")
        for words in ("began to download example-os.iso", "answered: files of Example OS are shared",
                      "files of Example OS are not shared", "application “A game <b>”",
                      "settings changed"):
            expect(entries).to_contain_text(words)
        expect(self.page.locator("#activity-check")).to_contain_text("as it was written")
        self.view("about")
        for words in (str(self.world.binary), "A game <b>", "none; it makes none"):
            expect(self.page.locator("#facts")).to_contain_text(words)

    # Everybody

    def every_view_is_reached_by_keyboard(self):
        page = self.page
        page.reload()
        expect(page.locator("#rate-down")).not_to_have_text("–")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        page.reload()
        expect(page.locator("#rate-down")).not_to_have_text("–")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.locator("#pause-all")).to_be_focused()
        assert page.evaluate(look.FOCUS_RING), "no ring around the button"
        for position, name in enumerate(VIEWS):
            link = page.locator(f'nav a[href="#/{name}"]')
            if position == 0:
                page.keyboard.press("Tab")
            else:
                link.focus()
            expect(link).to_be_focused()
            assert page.evaluate(look.FOCUS_RING), f"no ring around {name}"
            page.keyboard.press("Enter")
            expect(page.locator(f"#{name}-title")).to_be_visible()
            expect(link).to_have_attribute("aria-current", "page")
            if position > 0:
                expect(page.locator(f"#{name}-title")).to_be_focused()
            assert page.title().endswith("– Peerlift") and page.title() != "Peerlift", page.title()

    def everything_has_a_name_and_a_place(self):
        for name in VIEWS:
            self.view(name)
            tree = look.accessibility(self.page)
            assert not look.nameless(tree), (name, look.nameless(tree))
            missing = look.LANDMARKS - {role for role, _ in tree}
            assert not missing, (name, missing)
        expect(self.page.locator("#live")).to_have_attribute("aria-live", "polite")

    def light_has_contrast(self):
        self.has_contrast(self.page, "light")

    def dark_has_contrast(self):
        page = self.open(self.world.link(), WIDE, "dark")
        self.has_contrast(page, "dark")
        page.context.close()

    def has_contrast(self, page, scheme):
        for name in VIEWS:
            self.view(name, page)
            self.settle(name, page)
            found = page.evaluate(look.CONTRAST)
            assert found["looked"] > 10 and not found["low"], (name, found)
            self.shoot(f"{scheme}-{name}", page)

    def settle(self, name, page):
        """Waits until a view shows what it has asked for."""
        shown = {"transfers": "#under-way li", "sharing": "#publishers li", "applications":
                 "#application-list li", "activity": "#entries li", "about": "#facts dd",
                 "remove": "#doomed li", "settings": "#settings-file:not(:empty)"}[name]
        page.locator(shown).first.wait_for(state="attached")
        if name == "transfers":
            # Enough samples for a picture.
            page.wait_for_function("""() => (document.querySelector("#plot path.edge")
                ?.getAttribute("d").match(/L/g) ?? []).length > 16""")

    def nothing_sticks_out_at_360_pixels(self):
        page = self.open(self.world.link(), NARROW, "light")
        for name in VIEWS:
            self.view(name, page)
            self.settle(name, page)
            found = page.evaluate(look.TOO_WIDE)
            assert found["content"] <= found["page"] and not found["out"], (name, found)
            self.shoot(f"narrow-{name}", page)
        page.context.close()

    def axe_finds_nothing_wrong(self):
        script = look.axe()
        for size, scheme in ((WIDE, "light"), (NARROW, "dark")):
            page = self.open(self.world.link(), size, scheme)
            for name in VIEWS:
                self.view(name, page)
                self.settle(name, page)
                found = look.violations(page, script)
                assert not found, (scheme, name, found)
            page.get_by_role("button", name="Remove Peerlift…").click()
            found = look.violations(page, script)
            assert not found, (scheme, "the question", found)
            page.context.close()

    def others_get_nothing(self):
        origin = re.sub("/open.*", "", self.used_link)
        for headers in ({}, {"Host": "rebound.example"}, {"Origin": "https://evil.example"},
                        {"Sec-Fetch-Site": "cross-site"}):
            request = urllib.request.Request(f"{origin}/v1/status", headers=headers)
            try:
                urllib.request.urlopen(request, timeout=10)
                raise AssertionError(f"answered with {headers}")
            except urllib.error.HTTPError as error:
                assert error.code in (401, 403), (headers, error.code)

    # The end

    def removal_removes(self):
        self.view("remove")
        self.page.get_by_role("button", name="Remove Peerlift…").click()
        self.page.get_by_role("button", name="Keep it").click()
        expect(self.page.get_by_role("dialog")).to_be_hidden()
        assert self.world.json("status")["running"], "it was not kept"
        self.page.get_by_role("button", name="Remove Peerlift…").click()
        self.shoot("light-removal")
        self.page.get_by_role("button", name="Remove it").click()
        expect(self.page.locator("#gone")).to_be_visible()
        wait_for(lambda: not self.world.socket.exists(), "the service has ended")
        self.shoot("light-gone")
        home = self.world.home
        wait_for(lambda: not any(path.exists() for path in (
            home / ".config" / "peerlift", home / ".local/share/peerlift", home / ".cache/peerlift")),
            "its folders are gone")
        assert (home / ".config" / "peerlift-removed").exists(), "no marker"
        refused = self.world.run("panel", "--no-open", "--json", check=False)
        assert not refused, refused

    def nothing_was_asked_of_anybody_else(self):
        origin = re.sub("/open.*", "/", self.used_link)
        strangers = [url for url in self.requests if not url.startswith(origin)]
        assert len(self.requests) > 50 and not strangers, strangers[:5]

    def the_policy_is_strict_and_nothing_is_inline(self):
        files = {url.rsplit("/", 1)[1]: policy for url, policy in self.policies.items()}
        assert {"", "panel.css", "panel.js", "views.js", "parts.js", "plot.js", "words.js", "transfers.js",
                "sharing.js", "settings.js", "icon.svg"} <= set(files), files
        for name, policy in files.items():
            assert "default-src 'none'" in policy and "unsafe" not in policy, (name, policy)
        # The last answers may be lost: the service has gone.
        complaints = [line for line in self.complaints if "ERR_CONNECTION" not in line]
        assert not complaints, json.dumps(complaints[:5])
